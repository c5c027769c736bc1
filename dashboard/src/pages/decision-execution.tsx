import { useQuery } from "@connectrpc/connect-query";
import { type ReactNode, useState } from "react";
import { Link } from "wouter";
import {
  type AuditDecision,
  AdminService,
  type GetDecisionResponse,
} from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { Decision, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { Outcome } from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import type { Execution } from "@datacrawl/proto/datacrawl/authz/v1/executions_pb";
import { OperatorRole } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { ReviewState } from "@datacrawl/proto/datacrawl/authz/v1/reviews_pb";
import { useRenewed } from "../live.tsx";
import { useMay } from "../session.tsx";
import { dateOf } from "../ui/decision-table.tsx";
import { ExecutionBadge } from "../ui/execution.tsx";
import { ResolveExecution } from "../ui/resolve.tsx";
import { ReviewAnswers } from "../ui/review-answers.tsx";
import { ReviewBadge } from "../ui/review-badge.tsx";
import { Shown } from "../ui/state.tsx";
import { Code, Facts, optional, Step } from "../ui/story.tsx";
import { Untrusted } from "../ui/text.tsx";
import { ExactTime } from "../ui/time.tsx";

/** A decision can be started for so long. */
const HOLDS_MS = 24 * 3_600_000;

interface StepsProps {
  readonly row: AuditDecision;
  readonly execution: Execution | undefined;
}

/** What came of a decision: who reviewed it, when it was started, and how that ended. */
export function ExecutionSteps({ row, execution }: StepsProps) {
  const { reviewId = "" } = row;
  const review = useQuery(AdminService.method.getReview, { reviewId }, { enabled: reviewId !== "" });
  useRenewed(() => (review.data?.review?.state === ReviewState.OPEN ? review.refetch() : undefined));
  const isAllowed = row.decision === Decision.ALLOW || review.data?.review?.state === ReviewState.APPROVED;
  return (
    <>
      {reviewId === "" ? null : (
        <Step title="Reviewed">
          <Shown of={review} what="the review">
            {({ review: found }) =>
              found === undefined ? null : (
                <>
                  <p className="field">
                    <ReviewBadge state={found.state} /> <Link href={`/reviews/${found.reviewId}`}>The review</Link>,
                    asked for at <ExactTime at={found.openedAt} />.
                  </p>
                  <ReviewAnswers review={found} />
                </>
              )
            }
          </Shown>
        </Step>
      )}
      {execution === undefined ? (
        isAllowed && isStartable(row) ? (
          <NotStarted by={row.source} />
        ) : null
      ) : (
        <>
          <Started execution={execution} />
          <Ended execution={execution} />
        </>
      )}
    </>
  );
}

/** Whether a decision's execution may still begin or end. */
export function isUnderWay({ decision, execution }: GetDecisionResponse): boolean {
  if (execution !== undefined) return execution.outcome === Outcome.UNSPECIFIED;
  return (
    decision !== undefined && isStartable(decision) && dateOf(decision.recordedAtUs).getTime() > Date.now() - HOLDS_MS
  );
}

/** A row that follows on another is started under the other's id. */
function isStartable({ decision, linkedDecisionId }: AuditDecision): boolean {
  return decision !== Decision.DENY && linkedDecisionId === undefined;
}

function NotStarted({ by }: { readonly by: Source }) {
  return (
    <Step title="Started">
      <p className="muted">
        {by === Source.GUARD
          ? "No start of it was uploaded."
          : "The agent has not started it through the service. One that acts on the answer alone leaves no start here."}
      </p>
    </Step>
  );
}

function Started({ execution }: { readonly execution: Execution }) {
  return (
    <Step title="Started">
      <p className="field">
        {execution.agentId} started it{isBypassed(execution) ? " under a bypass, and uploaded that later" : ""}. Nobody
        can start it again.
      </p>
      <Facts
        facts={[
          ["Started", <ExactTime key="started" at={execution.startedAt} />],
          [isBypassed(execution) ? "Journal" : "Credential", <Code key="by" text={execution.startedBy} />],
          ["Execution", <Code key="execution" text={execution.executionId} />],
          ["Report due", <ExactTime key="due" at={execution.reportDueAt} />],
        ]}
      />
    </Step>
  );
}

function isBypassed({ source }: Execution): boolean {
  return source === Source.GUARD;
}

function Ended({ execution }: { readonly execution: Execution }) {
  const mayResolve = useMay(OperatorRole.OPERATOR);
  const [resolving, setResolving] = useState(false);
  const { outcome, endedAt, durationMs, errorCode, summary, unresolved } = execution;
  return (
    <Step title="Ended">
      <p className="field">
        <ExecutionBadge execution={execution} /> {endOf(execution)}
      </p>
      {outcome === Outcome.UNSPECIFIED ? null : (
        <Facts
          facts={[
            ["Recorded", <ExactTime key="ended" at={endedAt} />],
            ["It took", durationMs === undefined ? null : `${durationMs.toLocaleString("en")} ms`],
            ["Error code", optional(errorCode)],
            ["Summary", summary === "" ? null : <Untrusted key="summary" text={summary} />],
          ]}
        />
      )}
      {unresolved && mayResolve ? (
        <div className="actions">
          <button type="button" className="primary" onClick={() => setResolving(true)}>
            Resolve by hand
          </button>
        </div>
      ) : null}
      {resolving ? <ResolveExecution execution={execution} onClose={() => setResolving(false)} /> : null}
    </Step>
  );
}

/** Who said how it ended, or that nobody has. */
function endOf(execution: Execution): ReactNode {
  const { agentId, outcome, unresolved, reportDueAt, resolvedBy, comment, startedBy, reportedBy } = execution;
  if (unresolved)
    return (
      <>
        since <ExactTime at={reportDueAt} />. The agent has not reported how it ended: look whether the action happened,
        and record it.
      </>
    );
  if (outcome === Outcome.UNSPECIFIED) return "The agent has not reported how it ended, and has time to.";
  if (resolvedBy !== "")
    return (
      <>
        <strong>{resolvedBy}</strong> resolved it by hand: <Untrusted text={comment} limit={500} />
      </>
    );
  return (
    <>
      {agentId} reported it{" "}
      {isBypassed(execution) && reportedBy === startedBy ? "in the journal" : "with the credential"}{" "}
      <Code text={reportedBy} />.
    </>
  );
}
