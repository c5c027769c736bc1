import { useMutation } from "@connectrpc/connect-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { OperatorRole } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { type Review, ReviewState } from "@datacrawl/proto/datacrawl/authz/v1/reviews_pb";
import { queries } from "../api.ts";
import { useMay, useSession } from "../session.tsx";
import { TextArea } from "../ui/field.tsx";
import { sayFailure } from "../ui/state.tsx";
import { Time } from "../ui/time.tsx";

// Also when it is refused: somebody else may have been faster.
const onSettled = (): void => void queries.invalidateQueries();

/** The form that approves or rejects. */
export function Answer({ review }: { readonly review: Review }) {
  const mayAnswer = useMay(OperatorRole.REVIEWER);
  const { session } = useSession();
  const [comment, setComment] = useState("");
  const onSuccess = (): void => setComment("");
  const approve = useMutation(AdminService.method.approveReview, { onSettled, onSuccess });
  const reject = useMutation(AdminService.method.rejectReview, { onSettled, onSuccess });
  const isOpen = review.state === ReviewState.OPEN;
  const answer = { reviewId: review.reviewId, comment };
  const hasAnswered = review.answers.some(({ operator }) => operator === session.name);
  if (isOpen && !mayAnswer) return <p className="notice">Answering needs the role reviewer.</p>;
  if (isOpen && hasAnswered) return <p className="notice review">You have answered. Another person has to, as well.</p>;
  return (
    <CommentForm
      title="Your answer"
      hint="Say why: either answer needs it. Kept in the audit trail."
      review={review}
      isOpen={isOpen}
      comment={comment}
      onChange={setComment}
      error={approve.error ?? reject.error}
      busy={approve.isPending || reject.isPending}
      onSubmit={() => {
        reject.reset();
        approve.mutate(answer);
      }}
      action="Approve"
      other={{
        action: "Reject",
        run: () => {
          approve.reset();
          reject.mutate(answer);
        },
      }}
    />
  );
}

/** For who has approved: the form that takes the approval back. */
export function Withdraw({ review }: { readonly review: Review }) {
  const mayAnswer = useMay(OperatorRole.REVIEWER);
  const { session } = useSession();
  const [comment, setComment] = useState("");
  const onSuccess = (): void => setComment("");
  const withdraw = useMutation(AdminService.method.withdrawApproval, { onSettled, onSuccess });
  const { state, answers, firstAllowedAt } = review;
  if (!mayAnswer || !answers.some(({ operator }) => operator === session.name)) return null;
  return (
    <CommentForm
      title="Your approval"
      hint={
        firstAllowedAt === undefined
          ? "Say why you withdraw it. The call is denied from then on."
          : "Say why you withdraw it. The call was allowed before, so the agent may have acted; it is denied from then on."
      }
      review={review}
      isOpen={state === ReviewState.OPEN || state === ReviewState.APPROVED}
      comment={comment}
      onChange={setComment}
      error={withdraw.error}
      busy={withdraw.isPending}
      onSubmit={() => withdraw.mutate({ reviewId: review.reviewId, comment })}
      action="Withdraw my approval"
      isDanger
    />
  );
}

interface CommentFormProps {
  readonly title: string;
  readonly hint: string;
  readonly review: Review;
  /** False once the review can not be answered so any more. */
  readonly isOpen: boolean;
  readonly comment: string;
  readonly onChange: (comment: string) => void;
  readonly error: unknown;
  readonly busy: boolean;
  readonly onSubmit: () => void;
  readonly action: string;
  readonly isDanger?: boolean;
  readonly other?: { readonly action: string; readonly run: () => void };
}

/** A comment, and what can be done with it. What somebody has typed stays in sight when another person ends the review first. */
function CommentForm({ title, hint, review, isOpen, comment, onChange, error, busy, ...actions }: CommentFormProps) {
  if (!isOpen && comment === "") return <Refused error={error} />;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (isOpen) actions.onSubmit();
  };
  const disabled = busy || comment.trim() === "";
  return (
    <section className="card" aria-label={title}>
      <h2>{title}</h2>
      <form onSubmit={submit}>
        {isOpen ? null : (
          <p className="notice review field" role="status">
            {endOf(review)} <Time at={review.resolvedAt} />. Your comment was not sent.
          </p>
        )}
        <TextArea
          label="Comment"
          hint={isOpen ? hint : "Copy what you want to keep: it is nowhere else."}
          required
          readOnly={!isOpen}
          maxLength={500}
          value={comment}
          onChange={onChange}
        />
        <Refused error={error} />
        <div className="actions">
          {isOpen ? (
            <>
              <button type="submit" className={actions.isDanger ? "danger" : "primary"} disabled={disabled}>
                {actions.action}
              </button>
              {actions.other === undefined ? null : (
                <button type="button" className="danger" disabled={disabled} onClick={actions.other.run}>
                  {actions.other.action}
                </button>
              )}
            </>
          ) : (
            <button type="button" onClick={() => onChange("")}>
              Discard the comment
            </button>
          )}
        </div>
      </form>
    </section>
  );
}

function Refused({ error }: { readonly error: unknown }): ReactNode {
  if (error === null || error === undefined) return null;
  return (
    <p className="notice deny field" role="alert">
      {sayFailure(error)}
    </p>
  );
}

/** Who ended a review that is not open, or what did. */
function endOf({ state, answers, withdrawal, approvers }: Review): string {
  const people = answers.map(({ operator }) => operator).join(", ");
  switch (state) {
    case ReviewState.APPROVED:
      return `${people} approved this call`;
    case ReviewState.REJECTED:
      return `${answers.at(-1)?.operator} rejected this call`;
    case ReviewState.WITHDRAWN:
      return `${withdrawal?.operator} withdrew the approval of this call`;
    case ReviewState.EXPIRED:
      return answers.length === 0
        ? "The review expired unanswered"
        : `The review expired with ${answers.length} of ${approvers} approvals`;
    case ReviewState.LAPSED:
      return "The approval of this call lapsed";
    case ReviewState.VOID:
      return "The approval of this call became void: the policy changed";
    case ReviewState.OPEN:
    case ReviewState.UNSPECIFIED:
    default:
      return "The review ended";
  }
}
