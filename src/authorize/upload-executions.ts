import { type HashedEvent, makeEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";
import { failpoint } from "../core/failpoint.ts";
import type { RandomPool } from "../core/ids.ts";
import { hex, type StoredExecution } from "../core/journal-format.ts";
import { agrees, type Execution, type ExecutionEnd } from "../execution/execution.ts";
import { LIMITS } from "../core/request.ts";
import type { StartableDecision } from "../execution/startable.ts";
import type { SqlGuardExecutions, UploadedEnd, UploadedRecord, UploadedStart } from "../store/guard-executions.ts";
import { digestWith, factsOf, type SummaryPorts, storable } from "./report.ts";

export interface UploadExecutionsPorts extends SummaryPorts {
  readonly decisions: { findDecision(decisionId: string): Promise<StartableDecision | null> };
  readonly uploads: Pick<SqlGuardExecutions, keyof SqlGuardExecutions>;
  /** How long an execution may take to be reported. */
  readonly executionMicros: Micros;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

/** A record of an execution as its agent uploads it. */
export interface ExecutionClaim {
  readonly record: StoredExecution;
  readonly hash: Uint8Array;
  /** What is suspicious about it. */
  readonly flags: readonly string[];
}

/**
 * Records what a guard's journal says about executions: the starts, then the ends. Each statement commits whole, and what is recorded
 * is known by its decision and its record, so that a crash between two of them only means that the upload is repeated.
 *
 * @returns those that will never be accepted
 */
export async function recordExecutions(
  ports: UploadExecutionsPorts,
  agentId: string,
  claims: readonly ExecutionClaim[],
): Promise<{ readonly hash: Uint8Array; readonly problem: string }[]> {
  if (claims.length === 0) return [];
  const decisions = new Map<string, StartableDecision | null>();
  for (const { record } of claims) decisions.set(record.decisionId, null);
  await Promise.all([...decisions.keys()].map(async (id) => decisions.set(id, await ports.decisions.findDecision(id))));
  // INVARIANT: nothing but an agent's own bypass is started by its journal.
  const isForeign = ({ record }: ExecutionClaim): boolean => {
    const decision = decisions.get(record.decisionId) ?? null;
    return decision !== null && (decision.agentId !== agentId || decision.reason !== "CIRCUIT_BYPASS");
  };
  const accepted = claims.filter((claim) => !isForeign(claim));
  await recordStarts(ports, agentId, accepted, decisions);
  await recordEnds(ports, agentId, accepted);
  return claims
    .filter(isForeign)
    .map(({ hash }) => ({ hash, problem: "the decision is not a bypass of this agent's" }));
}

async function recordStarts(
  ports: UploadExecutionsPorts,
  agentId: string,
  claims: readonly ExecutionClaim[],
  decisions: ReadonlyMap<string, StartableDecision | null>,
): Promise<void> {
  const startedKeys = await ports.uploads.startedKeys(
    agentId,
    claims.map(({ record }) => record.idempotencyKey),
  );
  // One for each decision. A record of the start comes before one of the end, which stands for the start only where that is missing.
  const starts = new Map<string, ExecutionClaim>();
  for (const claim of claims.toSorted((a, b) => Number(isEnd(a)) - Number(isEnd(b))))
    if (!starts.has(claim.record.decisionId)) starts.set(claim.record.decisionId, claim);
  const entries = [...starts.values()].map((claim) =>
    startEntry(
      ports,
      claim,
      decisions.get(claim.record.decisionId) ?? null,
      startedKeys.get(claim.record.idempotencyKey),
    ),
  );
  const started = await ports.uploads.recordStarts(entries);
  failpoint("after-starts-upload");

  const isNew = ({ record }: ExecutionClaim): boolean =>
    started.has(record.executionId) && starts.get(record.decisionId)?.record === record;
  const others = claims.filter((claim) => claim.record.kind === "bypass_start" && !isNew(claim));
  await note(ports, others, (claim, known) =>
    known?.agentId === agentId && known.executionId === claim.record.executionId
      ? null
      : eventOf(ports, claim, "execution.refused", { refusal: "ALREADY_STARTED" }),
  );
}

async function recordEnds(
  ports: UploadExecutionsPorts,
  agentId: string,
  claims: readonly ExecutionClaim[],
): Promise<void> {
  const ends = claims.filter(isEnd);
  const executions = await ports.uploads.findAll(ends.map(({ record }) => record.decisionId));
  const own = (claim: EndClaim): Execution | null => {
    const known = executions.get(claim.record.decisionId);
    return known?.agentId === agentId && known.executionId === claim.record.executionId ? known : null;
  };
  const entries = new Map<string, UploadedEnd & { readonly claim: EndClaim }>();
  for (const claim of ends) {
    const execution = own(claim);
    if (execution?.end === null && !entries.has(execution.decisionId))
      entries.set(execution.decisionId, { ...endEntry(ports, claim, execution), claim });
  }
  const ended = await ports.uploads.recordEnds([...entries.values()]);
  failpoint("after-ends-upload");

  const isNew = (claim: EndClaim): boolean => {
    const entry = entries.get(claim.record.decisionId);
    return entry?.claim === claim && ended.has(entry.event.row.eventId);
  };
  await note(
    ports,
    ends.filter((claim) => !isNew(claim)),
    (claim, known) => {
      const recorded = own(claim) === null ? null : (known?.end ?? null);
      if (recorded === null) return eventOf(ports, claim, "execution.report_refused", { refusal: "EXECUTION_UNKNOWN" });
      if (agrees(recorded, claim.record, digestWith(ports, agentId))) return null;
      const reported = factsOf(storable(ports, agentId, claim.record.tool, claim.record));
      const detail = { refusal: "OUTCOME_CONTRADICTED", reported, recorded: recorded.outcome };
      return eventOf(ports, claim, "execution.report_refused", detail);
    },
  );
}

type EndClaim = ExecutionClaim & { readonly record: { readonly kind: "bypass_end" } };

function isEnd(claim: ExecutionClaim): claim is EndClaim {
  return claim.record.kind === "bypass_end";
}

/** Records that these were uploaded, and what is to be said of them beside what is on record by now. */
async function note<Claim extends ExecutionClaim>(
  { uploads, now }: UploadExecutionsPorts,
  claims: readonly Claim[],
  eventFor: (claim: Claim, known: Execution | undefined) => HashedEvent | null,
): Promise<void> {
  if (claims.length === 0) return;
  const known = await uploads.findAll(claims.map(({ record }) => record.decisionId));
  await uploads.recordNotes(
    claims.map((claim) => ({
      record: recordOf(claim, now()),
      event: eventFor(claim, known.get(claim.record.decisionId)),
    })),
  );
}

function startEntry(
  ports: UploadExecutionsPorts,
  claim: ExecutionClaim,
  decision: StartableDecision | null,
  startedBefore: string | undefined,
): UploadedStart {
  const { decisionId, executionId, agentId, tool, idempotencyKey, startedBy } = claim.record;
  const at = ports.now();
  // By the service's clock, so that a guard that comes back after hours has its time to upload how it ended.
  const reportDueAt = at + ports.executionMicros;
  const startedAt = Math.min(claim.record.startedAt, at);
  const isTwice = startedBefore !== undefined && startedBefore !== decisionId;
  const flags = [
    ...claim.flags,
    ...(decision === null ? ["decision_unknown"] : []),
    // The action may have happened twice.
    ...(isTwice ? ["key_started_twice"] : []),
  ];
  const detail = {
    tool,
    startedAtUs: claim.record.startedAt,
    startedBy,
    reportDueAtUs: reportDueAt,
    ...(isTwice && { startedBefore }),
  };
  return {
    // Nobody knows the nonce: the service never says STARTED of what a guard has started.
    execution: {
      decisionId,
      executionId,
      agentId,
      tool,
      idempotencyKey,
      nonce: ports.random.take(LIMITS.nonceBytes),
      startedAt,
      startedBy,
      reportDueAt,
    },
    recordedAt: decision?.recordedAt ?? at,
    event: eventOf(ports, { ...claim, flags }, "execution.started", detail),
    record: isEnd(claim) ? null : recordOf(claim, at),
  };
}

function endEntry(ports: UploadExecutionsPorts, claim: EndClaim, execution: Execution): UploadedEnd {
  const { record } = claim;
  const at = ports.now();
  const said = storable(ports, record.agentId, record.tool, record);
  const endedAt = Math.max(execution.startedAt, Math.min(record.endedAt, at));
  const end: ExecutionEnd = { ...said, endedAt, reportedBy: record.startedBy, resolvedBy: null, comment: null };
  const event = eventOf(ports, claim, "execution.ended", { ...factsOf(end), endedAtUs: record.endedAt });
  return { execution, end, event, record: recordOf(claim, at) };
}

function recordOf({ record, hash }: ExecutionClaim, recordedAt: Micros): UploadedRecord {
  const { agentId, journalId, sequence, decisionId } = record;
  return { agentId, journalId, sequence, hash, decisionId, recordedAt };
}

function eventOf(
  { now, random }: UploadExecutionsPorts,
  { record, hash, flags }: ExecutionClaim,
  kind: string,
  detail: NonNullable<Parameters<typeof makeEvent>[0]["detail"]>,
): HashedEvent {
  const { agentId, decisionId, executionId, journalId, sequence } = record;
  const guard = { journalId, sequence, recordHash: hex(hash), ...(flags.length > 0 && { flags: [...flags] }) };
  const facts = {
    kind,
    actor: `agent:${agentId}`,
    subject: agentId,
    decisionId,
    detail: { executionId, ...detail, guard },
  };
  return makeEvent(facts, now(), random);
}
