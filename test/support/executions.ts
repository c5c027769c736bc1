import { makeEvent } from "../../src/audit/row/event.ts";
import type { Entry } from "../../src/audit/write/writer.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { Execution, ExecutionEnd } from "../../src/execution/execution.ts";
import { random } from "./entries.ts";
import type { EndEntry, StartEntry } from "../../src/store/execution-entries.ts";

const MINUTE = 60_000_000;

/** A start of the decision as BeginExecution would make it. */
export function startOf({ row }: Entry, change: Partial<Execution> = {}): StartEntry {
  const startedAt = systemClock.now();
  const { decisionId, agentId, tool, idempotencyKey, recordedAt } = row;
  const facts = { kind: "execution.started", actor: `agent:${agentId}`, subject: agentId, decisionId };
  const event = makeEvent({ ...facts, detail: { tool } }, startedAt, random);
  return {
    execution: {
      decisionId,
      executionId: event.row.eventId,
      agentId,
      tool,
      idempotencyKey,
      nonce: random.take(16),
      startedAt,
      startedBy: "0a1b2c3d4e5f",
      reportDueAt: startedAt + 15 * MINUTE,
      ...change,
    },
    recordedAt,
    event,
  };
}

/** How an execution ended, as ReportOutcome would record it. */
export function endOf({ execution }: StartEntry, change: Partial<ExecutionEnd> = {}): EndEntry {
  const endedAt = systemClock.now();
  const { decisionId, agentId } = execution;
  const end = {
    outcome: "succeeded" as const,
    endedAt,
    errorCode: null,
    durationMs: 17,
    summary: null,
    reportedBy: "0a1b2c3d4e5f",
    resolvedBy: null,
    comment: null,
    ...change,
  };
  const facts = { kind: "execution.ended", actor: `agent:${agentId}`, subject: agentId, decisionId };
  const event = makeEvent({ ...facts, detail: { outcome: end.outcome } }, endedAt, random);
  return { execution: { decisionId, agentId }, end, event };
}
