import { useQuery } from "@connectrpc/connect-query";
import type { ReactNode } from "react";
import { Link } from "wouter";
import {
  type AuditDecision,
  AdminService,
  type GetDecisionResponse,
} from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { DecisionExplanation } from "@datacrawl/proto/datacrawl/authz/v1/policies_pb";
import { useRenewed } from "../live.tsx";
import { Page } from "../page.tsx";
import { ExecutionSteps, isUnderWay } from "./decision-execution.tsx";
import { Badge } from "../ui/badge.tsx";
import { Principal, Session } from "../ui/claims.tsx";
import { DecisionTable, dateOf } from "../ui/decision-table.tsx";
import { DecisionBadge, reasonWord } from "../ui/decision.tsx";
import { ConditionValues, Findings, RuleSource } from "../ui/rule.tsx";
import { Missing, Sealed } from "../ui/seal.tsx";
import { Shown } from "../ui/state.tsx";
import { Code, Facts, optional, Step } from "../ui/story.tsx";
import { Json, Untrusted } from "../ui/text.tsx";
import { ExactTime } from "../ui/time.tsx";

/** One decision as a story: asked, judged by, because, reviewed, started, ended; and that it is recorded and proven. */
export function DecisionPage({ id }: { readonly id: string }) {
  const asked = useQuery(AdminService.method.getDecision, { decisionId: id });
  useRenewed(() => (asked.data !== undefined && isUnderWay(asked.data) ? asked.refetch() : undefined));
  if (asked.data === undefined && asked.error !== null)
    return (
      <Page title="Decision" lead={id}>
        <Missing decisionId={id} error={asked.error} retry={() => void asked.refetch()} />
      </Page>
    );
  return (
    <Page title="Decision" lead={id}>
      <Shown of={asked} what="the decision">
        {(answer) =>
          answer.decision === undefined ? null : (
            <>
              {hex(answer.storedHash) === hex(answer.computedHash) ? null : (
                <p className="notice deny" role="alert">
                  <strong>Somebody has changed this row.</strong> What stands here is not what was recorded; the last
                  part of this page shows both hashes.
                </p>
              )}
              <p className="verdict">
                <DecisionBadge decision={answer.decision.decision} reason={answer.decision.reason} />{" "}
                <Untrusted text={answer.decision.message} limit={300} />
              </p>
              <Story row={answer.decision} answer={answer} />
            </>
          )
        }
      </Shown>
    </Page>
  );
}

function Story({ row, answer }: { readonly row: AuditDecision; readonly answer: GetDecisionResponse }) {
  return (
    <ol className="steps">
      <Step title="Asked">
        <p className="field">
          <Link href={`/decisions?agent=${encodeURIComponent(row.agentId)}`}>{row.agentId}</Link> asked to call{" "}
          <strong>
            <Untrusted text={row.tool} />
          </strong>
          .
        </p>
        <Claims row={row} />
        {answer.payload === undefined ? (
          <p className="muted">
            {row.payloadDigest === undefined
              ? "No payload was recorded."
              : "The payload has been erased; its digest remains."}
          </p>
        ) : (
          <Json text={answer.payload} />
        )}
      </Step>
      <Step title="Judged by">
        <p>{judgedBy(row)}</p>
        <p className="hint">
          <ExactTime at={dateOf(row.decidedAtUs)} />
          {row.source === Source.GUARD ? ", by the guard's clock" : ""}
        </p>
      </Step>
      <Step title="Because">
        <p>
          <code>{reasonWord(row.reason)}</code>: <Untrusted text={row.message} />
        </p>
        {row.source === Source.GUARD ? <GuardSaw detail={row.detail} /> : null}
        {row.reason === Reason.NO_MATCHING_RULE && answer.explanation !== undefined ? (
          <Unmatched explanation={answer.explanation} />
        ) : null}
        {answer.explanation === undefined ? null : <Explained explanation={answer.explanation} />}
        {answer.linked.length === 0 ? null : (
          <>
            <h3>Linked with it</h3>
            <DecisionTable rows={answer.linked} />
          </>
        )}
      </Step>
      <ExecutionSteps row={row} execution={answer.execution} />
      <Step title="Recorded">
        <Recorded row={row} />
      </Step>
      <Step title="Proven">
        <Proven answer={answer} />
      </Step>
    </ol>
  );
}

/** What the agent said of the call beside the payload. */
function Claims({ row: { principal, sessionId } }: { readonly row: AuditDecision }) {
  if (principal === undefined && sessionId === undefined) return null;
  return (
    <div className="field">
      <Facts
        facts={[
          ["On behalf of", principal === undefined ? null : <Principal key="principal" name={principal} />],
          ["Session", sessionId === undefined ? null : <Session key="session" id={sessionId} />],
        ]}
      />
      <p className="hint">As the agent said; a principal may be what its token said.</p>
    </div>
  );
}

/** What kept a guard from asking the service, each once. */
function GuardSaw({ detail }: { readonly detail: string | undefined }) {
  const errors = errorsOf(detail ?? "");
  if (errors.length === 0) return null;
  return (
    <div className="stack explained">
      <h3>What the guard saw of the service</h3>
      <ul className="plain">
        {errors.map((error) => (
          <li key={error}>
            <code>
              <Untrusted text={error} limit={500} />
            </code>
          </li>
        ))}
      </ul>
    </div>
  );
}

function errorsOf(detail: string): string[] {
  try {
    const { errors } = JSON.parse(detail) as { readonly errors?: unknown };
    return Array.isArray(errors) ? [...new Set(errors.map(String))] : [];
  } catch {
    return [];
  }
}

/** That nothing matched has two causes, and they are mended in different places. */
function Unmatched({ explanation: { findings, unavailable } }: { readonly explanation: DecisionExplanation }) {
  if (unavailable !== "") return null;
  return (
    <p className="muted">
      {findings.length === 0
        ? "No rule is about this tool, and what no rule matches is denied."
        : "Below is what each rule about this tool made of the request; none matched, and what no rule matches is denied."}
    </p>
  );
}

/** The rule as it was written, and what its condition read of the payload. */
function Explained({ explanation: { rule, findings, unavailable } }: { readonly explanation: DecisionExplanation }) {
  const others = findings.filter((finding) => finding.rule?.ruleId !== rule?.ruleId);
  const own = findings.find((finding) => finding.rule?.ruleId === rule?.ruleId && rule !== undefined);
  return (
    <div className="stack explained">
      {unavailable === "" ? null : (
        <p className="muted sentence">
          <Untrusted text={unavailable} />
        </p>
      )}
      {rule === undefined ? null : (
        <>
          <RuleSource rule={rule} />
          {own === undefined ? null : (
            <>
              {own.values.length === 0 ? null : <h3>What its condition saw</h3>}
              <ConditionValues finding={own} />
            </>
          )}
        </>
      )}
      {others.length === 0 ? null : (
        <details open={rule === undefined}>
          <summary>{others.length === 1 ? "One more rule" : `${others.length} more rules`} about this tool</summary>
          <Findings findings={others} />
        </details>
      )}
    </div>
  );
}

function judgedBy(row: AuditDecision): ReactNode {
  if (row.source === Source.GUARD)
    return (
      <>
        The agent's own guard, alone{row.grantId === undefined ? "" : ", under a circuit bypass"}. This is the agent's
        claim, not proof.
      </>
    );
  if (row.ruleId === undefined) return "The service; no rule decided it.";
  return (
    <>
      The rule <code>{row.ruleId}</code> of{" "}
      <Link href={`/policies?version=${encodeURIComponent(row.policyVersion ?? "")}`}>
        the policies that were in force then
      </Link>
      .
    </>
  );
}

function Recorded({ row }: { readonly row: AuditDecision }) {
  const facts: readonly (readonly [string, ReactNode])[] = [
    ["Recorded", <ExactTime key="recorded" at={dateOf(row.recordedAtUs)} />],
    ["Decided", <ExactTime key="decided" at={dateOf(row.decidedAtUs)} />],
    ["Key", <Code key="key" text={row.idempotencyKey} />],
    ["Credential", <Code key="credential" text={row.credentialId} />],
    ["Policies", <Code key="policies" text={row.policyVersion} />],
    [
      "Review",
      row.reviewId === undefined ? null : (
        <Link key="review" href={`/reviews/${row.reviewId}`}>
          {row.reviewId}
        </Link>
      ),
    ],
    ["Bypass grant", optional(row.grantId)],
    [
      "Under it",
      row.grantId === undefined ? null : (
        <Link key="grant" href={`/decisions?grant=${encodeURIComponent(row.grantId)}`}>
          all that was done
        </Link>
      ),
    ],
    ["Trace", optional(row.traceId)],
    ["Further facts", optional(row.detail)],
  ];
  return <Facts facts={facts} />;
}

function Proven({ answer: { decision, storedHash, computedHash } }: { readonly answer: GetDecisionResponse }) {
  const [stored, computed] = [hex(storedHash), hex(computedHash)];
  return (
    <>
      <p className="field">
        {stored === computed ? (
          <>
            <Badge tone="allow">hash holds</Badge> The row is as it was written.
          </>
        ) : (
          <>
            <Badge tone="deny">hash does not hold</Badge> The row was changed after it was written.
          </>
        )}
      </p>
      {decision === undefined ? null : (
        <Sealed key={decision.decisionId} decisionId={decision.decisionId} unchanged={stored === computed} />
      )}
      <Facts
        facts={[
          ["Stored", <code key="stored">{stored}</code>],
          ["Computed now", <code key="computed">{computed}</code>],
        ]}
      />
      <p className="hint">
        For somebody who trusts a public key alone, once it is sealed:{" "}
        <code>datacrawl audit prove {decision?.decisionId}</code>
      </p>
    </>
  );
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
