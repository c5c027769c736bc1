import { pino, type Logger } from "pino";
import { type Answer, traceIdOf } from "../../authorize/call.ts";
import type { LogLevel } from "../../config.ts";
import type { Fault } from "../../core/fault.ts";
import { failureOf } from "../failure.ts";

export type Log = Logger;

/**
 * Structured logs on stderr: stdout is for what people and scripts asked for.
 *
 * INVARIANT: no payloads, no credentials. Lines name decisions by id; the trail has the rest.
 */
export function openLog(level: LogLevel): Log {
  const destination = pino.destination({ dest: 2, sync: false, minLength: 4096, periodicFlush: 200 });
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}

/** For debugging: the record of a decision is its audit row. A line costs as much as a fifth of the decision. */
export function logAnswer(log: Log, answer: Answer): void {
  if (!log.isLevelEnabled("debug")) return;
  const { decisionId, agentId, decision, reason, ruleId, replayed } = answer;
  log.debug({ decisionId, agentId, decision, reason, ruleId, replayed }, "decided");
}

/** The request's fields, which are ours to name: a path below them, or a field unknown to us, is the caller's text. */
const FIELD = /^(?:tool|payload|idempotency_key|agent_id|nonce|principal|session_id)\b/;

/** What is known of a request that is answered with a fault. */
interface Faulted {
  readonly method: string;
  readonly agentId?: string | null;
  /** The `traceparent` header as received. */
  readonly traceparent?: string | undefined;
}

const logged = new WeakSet<Fault>();

/**
 * Faults that are the service's own come with their cause, bugs with their stack; the callers' are worth no more than a line
 * when debugging. Each is logged once: where its agent is known, or else by the transport, which sees them all.
 */
export function logFault(log: Log, fault: Fault, { method, agentId = null, traceparent }: Faulted): void {
  if (logged.has(fault)) return;
  logged.add(fault);
  const { code, requestId, decisionId } = fault;
  if (fault.status === "internal" || fault.status === "unavailable") {
    const ids = { requestId, decisionId, traceId: traceIdOf(traceparent) ?? undefined };
    log.error({ code, method, agentId, ...ids, ...failureOf(fault) }, fault.message);
    return;
  }
  // Their messages name members of payloads.
  log.debug({ code, method, agentId, field: FIELD.exec(fault.field ?? "")?.[0] }, "refused");
}

/** The same for a fault that no caller is answered with: only a bug is worth a line. */
export function logLateFault(log: Log, fault: Fault, faulted: Faulted): void {
  if (fault.status === "internal") logFault(log, fault, faulted);
}
