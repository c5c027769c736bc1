import { type HashedEvent, makeEvent } from "../audit/row/event.ts";
import type { AuthenticatedAgent } from "../authn/directory.ts";
import type { Micros } from "../core/clock.ts";
import { failpoint } from "../core/failpoint.ts";
import { Fault } from "../core/fault.ts";
import { type RandomPool, UUID } from "../core/ids.ts";
import { agrees, type Execution, type ExecutionEnd, type Report } from "../execution/execution.ts";
import { type DigestKeys, digestRedacted } from "../idempotency/key.ts";
import type { Redaction } from "../policy/redaction.ts";
import type { Call } from "./call.ts";
import type { ReportAnswer, ReportHandler, UnverifiedReport } from "./execution-call.ts";
import { type FramePorts, frameUnary } from "./frame.ts";
import type { EndEntry } from "../store/execution-entries.ts";

/** What decides whether a report's summary may be stored. */
export interface SummaryPorts {
  readonly policy: () => { readonly redaction: Redaction };
  readonly keys: DigestKeys;
}

export interface ReportPorts extends FramePorts, SummaryPorts {
  /** @throws Fault RATE_LIMITED or SHUTTING_DOWN */
  readonly admit: (agentId: string) => void;
  readonly executions: { find(decisionId: string): Promise<Execution | null> };
  /** Null if an outcome was recorded before. */
  readonly ends: { record(entry: EndEntry, deadline: { readonly at: number }): Promise<true | null> };
  readonly events: { append(event: HashedEvent): Promise<void> };
  readonly random: RandomPool;
  readonly now: () => Micros;
  readonly reported: (answer: ReportAnswer) => void;
}

/** Of UTF-8. */
const ERROR_CODE_BYTES = 128;
const SUMMARY_BYTES = 1024;

/**
 * ReportOutcome: `authenticate → parse → find → record → answer`. A frozen agent may still report, and so may everybody while the
 * service is in recovery: what was done belongs in the audit trail.
 */
export function createReport(ports: ReportPorts): ReportHandler {
  return frameUnary(ports, { method: "ReportOutcome", admit: ports.admit, handle: report });

  async function report(call: Call<UnverifiedReport>, agent: AuthenticatedAgent): Promise<ReportAnswer> {
    const { decisionId, executionId, report: said } = checkReport(call.readBody());
    const execution = await ports.executions.find(decisionId);
    // INVARIANT: another agent's execution looks like one that does not exist.
    if (execution === null || execution.agentId !== agent.agentId || execution.executionId !== executionId)
      throw await unknown(ports, agent, decisionId, executionId, execution);

    const end = execution.end === null ? await record(ports, agent, execution, said, call.deadlineAt) : null;
    const recorded = end ?? (await ports.executions.find(decisionId))?.end ?? null;
    if (recorded === null)
      throw new Fault("STORE_UNAVAILABLE", "The outcome that was recorded before could not be read.", {
        retryAfterMs: 100,
      });
    if (end === null && !agrees(recorded, said, digestWith(ports, agent.agentId)))
      throw await contradiction(ports, agent, execution, recorded, said);
    const { outcome, endedAt } = recorded;
    const answer = { decisionId, executionId, outcome, endedAt, replayed: end === null };
    ports.reported(answer);
    failpoint("before-report-answer");
    return answer;
  }
}

/** @throws Fault FIELD_INVALID naming the field */
export function checkReport(unverified: UnverifiedReport): { decisionId: string; executionId: string; report: Report } {
  const { outcome, errorCode, durationMs, summary } = unverified;
  const decisionId = uuid("decision_id", unverified.decisionId);
  const executionId = uuid("execution_id", unverified.executionId);
  if (outcome === null) throw invalid("outcome", "must be OUTCOME_SUCCEEDED, OUTCOME_FAILED or OUTCOME_UNKNOWN");
  checkText("error_code", errorCode, ERROR_CODE_BYTES, /\p{Cc}/u, "control characters");
  checkText("summary", summary, SUMMARY_BYTES, /\0/, "NUL");
  if (durationMs !== null && (durationMs < 0n || durationMs > BigInt(Number.MAX_SAFE_INTEGER)))
    throw invalid("duration_ms", `must be 0 to ${Number.MAX_SAFE_INTEGER}, is ${durationMs}`);
  const report = {
    outcome,
    errorCode: errorCode || null,
    durationMs: durationMs === null ? null : Number(durationMs),
    summary: summary || null,
  };
  return { decisionId, executionId, report };
}

function uuid(field: string, text: string): string {
  const lowerCase = text.toLowerCase();
  if (!UUID.test(lowerCase)) throw invalid(field, "must be a UUID");
  return lowerCase;
}

function checkText(field: string, text: string, bytes: number, refused: RegExp, what: string): void {
  if (Buffer.byteLength(text) > bytes)
    throw invalid(field, `must be at most ${bytes} bytes, is ${Buffer.byteLength(text)}`);
  if (refused.test(text)) throw invalid(field, `must not contain ${what}`);
  if (!text.isWellFormed()) throw invalid(field, "must not contain a lone surrogate");
}

function invalid(field: string, problem: string): Fault {
  return new Fault("FIELD_INVALID", `${field} ${problem}.`, { field });
}

/** Writes the outcome and resolves when it is committed; or with null if another one came first. */
async function record(
  ports: ReportPorts,
  agent: AuthenticatedAgent,
  execution: Execution,
  said: Report,
  deadlineAt: number,
): Promise<ExecutionEnd | null> {
  const end: ExecutionEnd = {
    ...storable(ports, agent.agentId, execution.tool, said),
    endedAt: ports.now(),
    reportedBy: agent.keyId,
    resolvedBy: null,
    comment: null,
  };
  const event = eventOf(ports, agent, execution, "execution.ended", { ...factsOf(end), credentialId: agent.keyId });
  failpoint("before-report-commit");
  const isFirst = (await ports.ends.record({ execution, end, event }, { at: deadlineAt })) !== null;
  failpoint("after-report-commit");
  // INVARIANT: from here on the outcome is durable. A crash loses the answer, and the same report again is harmless.
  return isFirst ? end : null;
}

/** What may be stored of a report. Its summary may repeat what the policy redacts of the tool's payload, and then it is a digest. */
export function storable(ports: SummaryPorts, agentId: string, tool: string, said: Report): Report {
  const { outcome, errorCode, durationMs, summary } = said;
  const isRedacted = summary !== null && ports.policy().redaction.pathsOf(tool).length > 0;
  return { outcome, errorCode, durationMs, summary: isRedacted ? digestWith(ports, agentId)(summary) : summary };
}

/** What is recorded in place of a summary that may not be stored. */
export function digestWith({ keys }: SummaryPorts, agentId: string): (summary: string) => string {
  return (summary) => digestRedacted(keys, agentId, JSON.stringify(summary));
}

/** Records a report about an execution that the agent does not have. @returns what to throw */
async function unknown(
  ports: ReportPorts,
  agent: AuthenticatedAgent,
  decisionId: string,
  executionId: string,
  execution: Execution | null,
): Promise<Fault> {
  const owner = execution === null || execution.agentId === agent.agentId ? {} : { executionOf: execution.agentId };
  const detail = { refusal: "EXECUTION_UNKNOWN", executionId, credentialId: agent.keyId, ...owner };
  await ports.events.append(eventOf(ports, agent, { decisionId }, "execution.report_refused", detail));
  return new Fault("EXECUTION_UNKNOWN", `The agent has no execution ${executionId} of the decision ${decisionId}.`);
}

/** Records a report that contradicts the recorded one. @returns what to throw */
async function contradiction(
  ports: ReportPorts,
  agent: AuthenticatedAgent,
  execution: Execution,
  recorded: ExecutionEnd,
  said: Report,
): Promise<Fault> {
  const detail = {
    refusal: "OUTCOME_CONTRADICTED",
    executionId: execution.executionId,
    credentialId: agent.keyId,
    reported: factsOf(storable(ports, agent.agentId, execution.tool, said)),
    recorded: recorded.outcome,
  };
  await ports.events.append(eventOf(ports, agent, execution, "execution.report_refused", detail));
  const which = recorded.outcome === said.outcome ? "with other facts" : `as ${recorded.outcome}`;
  return new Fault("OUTCOME_CONTRADICTED", `The end of the execution is on record ${which}; it stays so.`);
}

/** What a report says, as its event has it. */
export function factsOf({ outcome, errorCode, durationMs, summary }: Report) {
  return {
    outcome,
    ...(errorCode !== null && { errorCode }),
    ...(durationMs !== null && { durationMs }),
    ...(summary !== null && { summary }),
  };
}

function eventOf(
  { now, random }: ReportPorts,
  { agentId }: AuthenticatedAgent,
  { decisionId, executionId }: { readonly decisionId: string; readonly executionId?: string },
  kind: string,
  detail: NonNullable<Parameters<typeof makeEvent>[0]["detail"]>,
): HashedEvent {
  const named = executionId === undefined ? detail : { executionId, ...detail };
  return makeEvent({ kind, actor: `agent:${agentId}`, subject: agentId, decisionId, detail: named }, now(), random);
}
