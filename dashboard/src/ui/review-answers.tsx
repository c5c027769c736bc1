import {
  type Review,
  type ReviewAnswer,
  ReviewVerdict,
  type ReviewWithdrawal,
} from "@datacrawl/proto/datacrawl/authz/v1/reviews_pb";
import { Untrusted } from "./text.tsx";
import { Time } from "./time.tsx";

/** What people have said about a review. */
export function ReviewAnswers({ review: { answers, withdrawal } }: { readonly review: Review }) {
  return (
    <>
      {answers.map((answer) => (
        <Answered key={answer.operator} answer={answer} />
      ))}
      {withdrawal === undefined ? null : <Withdrawn withdrawal={withdrawal} />}
    </>
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

function Withdrawn({ withdrawal: { operator, comment, withdrawnAt } }: { readonly withdrawal: ReviewWithdrawal }) {
  return (
    <p className="notice deny field">
      <strong>{operator}</strong> withdrew the approval <Time at={withdrawnAt} />: <Untrusted text={comment} />
    </p>
  );
}
