import { checkBegin } from "../authorize/begin.ts";
import type { BeginAnswer, BeginHandler, ReportHandler } from "../authorize/execution-call.ts";
import { checkReport } from "../authorize/report.ts";
import type { Clock } from "../core/clock.ts";
import { Fault, type FaultCode } from "../core/fault.ts";
import type { GuardRefusal, GuardReported, GuardStart } from "@datacrawl/client/internal/call/execution";
import type { OpenGuard } from "@datacrawl/client/internal/call/open";

export interface ExecutionHandlersOptions {
  readonly guard: Pick<OpenGuard, "begin" | "report">;
  readonly agentId: string;
  /** How long an answer may take, whatever its caller's deadline, in milliseconds. */
  readonly timeoutMs: number;
  /** What is left of a caller's deadline for the way back, in milliseconds. */
  readonly wayBackMs: number;
  readonly clock: Pick<Clock, "monotonic">;
}

/** BeginExecution by the guard, with the caller's own nonce: the caller's retry is then the same start for the service too. */
export function beginWith({ guard, agentId, timeoutMs, wayBackMs, clock }: ExecutionHandlersOptions): BeginHandler {
  return async ({ readBody, deadlineAt, signal }) => {
    const { decisionId, nonce } = checkBegin(readBody());
    const until = Math.min(deadlineAt - wayBackMs, clock.monotonic() + timeoutMs);
    const start = await guard.begin({ decisionId, nonce }, { deadlineAt: until, signal });
    return beginAnswer(start, { agentId, decisionId, nonce });
  };
}

/** ReportOutcome by the guard. */
export function reportWith({ guard, timeoutMs, wayBackMs, clock }: ExecutionHandlersOptions): ReportHandler {
  return async ({ readBody, deadlineAt, signal }) => {
    const { decisionId, executionId, report } = checkReport(readBody());
    const { outcome, errorCode, durationMs, summary } = report;
    const until = Math.min(deadlineAt - wayBackMs, clock.monotonic() + timeoutMs);
    const said = {
      outcome,
      ...(errorCode !== null && { errorCode }),
      ...(durationMs !== null && { durationMs }),
      ...(summary !== null && { summary }),
    };
    const reported = await guard.report({ decisionId, executionId, ...said }, { deadlineAt: until, signal });
    if (reported.state === "not_recorded") {
      const { reportRefusal, message } = reported;
      throw reportRefusal === null ? faultOf(reported) : new Fault(reportRefusal, message);
    }
    const { endedAt, replayed } = reported;
    return { decisionId, executionId, outcome, endedAt, replayed };
  };
}

/** @throws Fault where the service was not heard: the contract's refusals are the service's own */
function beginAnswer(
  start: GuardStart,
  asked: { readonly agentId: string; readonly decisionId: string; readonly nonce: Uint8Array },
): BeginAnswer {
  const { message, source } = start;
  const named = { ...asked, message, source };
  if (start.state === "refused") {
    if (isExecutionRefusal(start.reason)) return { ...named, state: "refused", reason: start.reason };
    throw faultOf({ ...start, reason: start.reason });
  }
  const { startedAt, startedBy, reportDueAt } = start;
  if (startedAt === null || reportDueAt === null)
    throw new Fault("STORE_UNAVAILABLE", "The start under this key cannot be read: do not run the tool.");
  const end = start.state === "started" ? null : start.end;
  const executionId = start.state === "started" ? start.executionId : "";
  return { ...named, state: start.state, execution: { executionId, startedAt, startedBy, reportDueAt, end } };
}

function isExecutionRefusal<R extends string>(reason: R): reason is Exclude<R, GuardRefusal> {
  return !Object.hasOwn(CODES, reason);
}

/** A guard's own reasons as faults: a caller of the service would have got the like. */
const CODES: Readonly<Record<GuardRefusal, FaultCode>> = {
  SERVICE_UNAVAILABLE: "STORE_UNAVAILABLE",
  CIRCUIT_OPEN: "STORE_UNAVAILABLE",
  MALFORMED_RESPONSE: "STORE_UNAVAILABLE",
  DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
  REQUEST_REFUSED: "REQUEST_MALFORMED",
};

const REFUSAL_CODES = {
  RATE_LIMITED: "RATE_LIMITED",
  BAD_CREDENTIAL: "CREDENTIAL_UNKNOWN",
  NOT_PERMITTED: "NOT_PERMITTED",
  BAD_REQUEST: "REQUEST_MALFORMED",
} as const satisfies Record<string, FaultCode>;

/** The service was not heard, or refused. */
export function faultOf({
  reason,
  message,
  refusal,
}: Pick<Extract<GuardReported, { readonly state: "not_recorded" }>, "reason" | "message" | "refusal">): Fault {
  const code = refusal === null ? CODES[reason] : REFUSAL_CODES[refusal.code];
  const retryAfterMs = refusal?.retryAfterMs ?? null;
  return new Fault(code, message, retryAfterMs === null ? {} : { retryAfterMs });
}
