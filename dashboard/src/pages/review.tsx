import { useQuery } from "@connectrpc/connect-query";
import { Link } from "wouter";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { type Review, ReviewState } from "@datacrawl/proto/datacrawl/authz/v1/reviews_pb";
import { useRenewed } from "../live.tsx";
import { Page } from "../page.tsx";
import { Answer, Withdraw } from "./review-answer.tsx";
import { Payload } from "../ui/payload.tsx";
import { ReviewAnswers } from "../ui/review-answers.tsx";
import { ReviewBadge } from "../ui/review-badge.tsx";
import { Shown } from "../ui/state.tsx";
import { Untrusted } from "../ui/text.tsx";
import { ExactTime } from "../ui/time.tsx";

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
        <Withdraw review={review} />
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
                <dt>First allowed</dt>
                <dd>
                  <ExactTime at={review.firstAllowedAt} />
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
          {review.answers.length === 0 ? <p className="muted">{sayUnanswered(review.state)}</p> : null}
          <ReviewAnswers review={review} />
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

function sayUnanswered(state: ReviewState): string {
  return state === ReviewState.OPEN
    ? "Nobody has answered yet."
    : "It expired unanswered, so the call is denied. The agent may ask again under another key.";
}
