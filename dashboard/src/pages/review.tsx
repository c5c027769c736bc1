import { useMutation, useQuery } from "@connectrpc/connect-query";
import { type FormEvent, useState } from "react";
import { Link } from "wouter";
import { AdminService } from "../../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { OperatorRole } from "../../../gen/datacrawl/authz/v1/operators_pb.ts";
import {
  type Review,
  type ReviewAnswer,
  ReviewState,
  ReviewVerdict,
} from "../../../gen/datacrawl/authz/v1/reviews_pb.ts";
import { queries } from "../api.ts";
import { useRenewed } from "../live.tsx";
import { Page } from "../page.tsx";
import { useMay, useSession } from "../session.tsx";
import { TextArea } from "../ui/field.tsx";
import { Payload } from "../ui/payload.tsx";
import { ReviewBadge } from "../ui/review-badge.tsx";
import { sayFailure, Shown } from "../ui/state.tsx";
import { Untrusted } from "../ui/text.tsx";
import { ExactTime, Time } from "../ui/time.tsx";

/** One review: what the agent wants to do, as it was judged, and the answer. */
export function ReviewPage({ id }: { readonly id: string }) {
  const asked = useQuery(AdminService.method.getReview, { reviewId: id });
  useRenewed(asked.refetch);
  return (
    <Page title="Review" lead="An approval holds for this agent, tool and payload, under this policy alone.">
      <Shown of={asked} what="the review">
        {({ review, payload }) => (review === undefined ? null : <Shows review={review} payload={payload} />)}
      </Shown>
    </Page>
  );
}

function Shows({ review, payload }: { readonly review: Review; readonly payload: string | undefined }) {
  return (
    <div className="two">
      <section className="card" aria-label="What the agent wants to do">
        <div className="head">
          <h2>
            {review.agentId} wants to call <Untrusted text={review.tool} limit={120} />
          </h2>
          <ReviewBadge state={review.state} />
        </div>
        <Because decisionId={review.decisionId} />
        {payload === undefined ? <p className="muted">The payload has been erased.</p> : <Payload text={payload} />}
      </section>
      <div className="stack">
        <Answer review={review} />
        <section className="card" aria-label="Facts">
          <h2>Facts</h2>
          <dl className="facts">
            <dt>Rule</dt>
            <dd>
              <code>{review.ruleId}</code>
            </dd>
            <dt>Asked</dt>
            <dd>
              <ExactTime at={review.openedAt} />
            </dd>
            <dt>{review.state === ReviewState.OPEN ? "Denied at" : "Resolved"}</dt>
            <dd>
              <ExactTime at={review.state === ReviewState.OPEN ? review.expiresAt : review.resolvedAt} />
            </dd>
            {review.approvalExpiresAt === undefined ? null : (
              <>
                <dt>Approval ends</dt>
                <dd>
                  <ExactTime at={review.approvalExpiresAt} />
                </dd>
              </>
            )}
            <dt>Key</dt>
            <dd>
              <code>
                <Untrusted text={review.idempotencyKey} />
              </code>
            </dd>
            <dt>Decision</dt>
            <dd>
              <Link href={`/decisions/${review.decisionId}`}>{review.decisionId}</Link>
            </dd>
          </dl>
        </section>
        <section className="card" aria-label="Answers">
          <h2>
            Answers ({review.answers.length} of {review.approvers} {review.approvers === 1 ? "person" : "people"})
          </h2>
          {review.answers.length === 0 ? <p className="muted">Nobody has answered yet.</p> : null}
          {review.answers.map((answer) => (
            <Answered key={answer.operator} answer={answer} />
          ))}
        </section>
      </div>
    </div>
  );
}

/** Why a person is asked, in the rule's words. */
function Because({ decisionId }: { readonly decisionId: string }) {
  const { data } = useQuery(AdminService.method.getDecision, { decisionId });
  if (data?.decision === undefined) return null;
  return (
    <p className="field">
      <Untrusted text={data.decision.message} />{" "}
      <Link href={`/decisions/${decisionId}`}>The rule, and what it saw</Link>
    </p>
  );
}

function Answered({ answer: { operator, verdict, comment, answeredAt } }: { readonly answer: ReviewAnswer }) {
  const approved = verdict === ReviewVerdict.APPROVED;
  return (
    <p className={`notice ${approved ? "allow" : "deny"} field`}>
      <strong>{operator}</strong> {approved ? "approved" : "rejected"} <Time at={answeredAt} />:{" "}
      <Untrusted text={comment} />
    </p>
  );
}

function Answer({ review }: { readonly review: Review }) {
  const mayAnswer = useMay(OperatorRole.REVIEWER);
  const { session } = useSession();
  const [comment, setComment] = useState("");
  // Also when it is refused: somebody else may have been faster.
  const onSettled = (): void => void queries.invalidateQueries();
  const approve = useMutation(AdminService.method.approveReview, { onSettled });
  const reject = useMutation(AdminService.method.rejectReview, { onSettled });
  const busy = approve.isPending || reject.isPending;
  const error = approve.error ?? reject.error;
  const refused =
    error === null ? null : (
      <p className="notice deny field" role="alert">
        {sayFailure(error)}
      </p>
    );
  if (review.state !== ReviewState.OPEN) return refused;
  if (!mayAnswer) return <p className="notice">Answering needs the role reviewer.</p>;
  if (review.answers.some(({ operator }) => operator === session.name))
    return <p className="notice review">You have answered. Another person has to, as well.</p>;
  const answer = { reviewId: review.reviewId, comment };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    reject.reset();
    approve.mutate(answer);
  };
  return (
    <section className="card" aria-label="Your answer">
      <h2>Your answer</h2>
      <form onSubmit={submit}>
        <TextArea
          label="Comment"
          hint="Say why: either answer needs it. Kept in the audit trail."
          required
          maxLength={500}
          value={comment}
          onChange={setComment}
        />
        {refused}
        <div className="actions">
          <button type="submit" className="primary" disabled={busy || comment.trim() === ""}>
            Approve
          </button>
          <button
            type="button"
            className="danger"
            disabled={busy || comment.trim() === ""}
            onClick={() => {
              approve.reset();
              reject.mutate(answer);
            }}
          >
            Reject
          </button>
        </div>
      </form>
    </section>
  );
}
