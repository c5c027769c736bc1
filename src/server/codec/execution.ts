import type { MessageInitShape } from "@bufbuild/protobuf";
import * as wire from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import type { BeginAnswer, ReportAnswer, UnverifiedBegin, UnverifiedReport } from "../../authorize/execution-call.ts";
import type { Source } from "../../core/decision.ts";
import type { Outcome } from "../../execution/execution.ts";
import { SOURCES } from "./answer.ts";
import { timestampOf } from "./timestamp.ts";

export const STATE = {
  started: wire.ExecutionState.STARTED,
  already_started: wire.ExecutionState.ALREADY_STARTED,
  refused: wire.ExecutionState.REFUSED,
} as const;

/** Our words for the numbers on the wire. */
export const OUTCOME = {
  succeeded: wire.Outcome.SUCCEEDED,
  failed: wire.Outcome.FAILED,
  unknown: wire.Outcome.UNKNOWN,
} as const satisfies Record<Outcome, wire.Outcome>;

/** Null if it is absent or has no meaning here. */
export function outcomeOf(number: wire.Outcome): Outcome | null {
  const entry = Object.entries(OUTCOME).find(([, value]) => value === number);
  return entry === undefined ? null : (entry[0] as Outcome);
}

export function beginOf({ decisionId, nonce }: wire.BeginExecutionRequest): UnverifiedBegin {
  return { decisionId, nonce };
}

export function reportOf(message: wire.ReportOutcomeRequest): UnverifiedReport {
  const { decisionId, executionId, outcome, errorCode, durationMs, summary } = message;
  return { decisionId, executionId, outcome: outcomeOf(outcome), errorCode, durationMs: durationMs ?? null, summary };
}

/** @param source who starts executions where the answer does not say it */
export function beginFields(
  answer: BeginAnswer,
  source: Source,
): MessageInitShape<typeof wire.BeginExecutionResponseSchema> {
  const { message, decisionId, agentId } = answer;
  const nonce = new Uint8Array(answer.nonce);
  const named = { message, decisionId, nonce, agentId, source: SOURCES[answer.source ?? source] };
  if (answer.state === "refused")
    return { ...named, state: STATE.refused, reason: wire.ExecutionRefusal[answer.reason] };
  const { executionId, startedAt, startedBy, reportDueAt, end } = answer.execution;
  return {
    ...named,
    // INVARIANT: only the caller that started the execution learns its id, and so can report how it ended.
    ...(answer.state === "started" && { executionId }),
    startedAt: timestampOf(startedAt),
    startedBy,
    reportDueAt: timestampOf(reportDueAt),
    ...(end !== null && { outcome: OUTCOME[end.outcome], endedAt: timestampOf(end.endedAt) }),
    state: STATE[answer.state],
  };
}

export function reportFields(answer: ReportAnswer): MessageInitShape<typeof wire.ReportOutcomeResponseSchema> {
  const { decisionId, executionId, outcome, endedAt, replayed } = answer;
  return { decisionId, executionId, outcome: OUTCOME[outcome], endedAt: timestampOf(endedAt), replayed };
}
