import { pino, type Logger } from "pino";
import type { Answer } from "../authorize/call.ts";
import type { LogLevel } from "../config.ts";
import type { Fault } from "../fault.ts";

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

export function logAnswer(log: Log, answer: Answer): void {
  const { decisionId, agentId, decision, reason, ruleId, replayed } = answer;
  log.info({ decisionId, agentId, decision, reason, ruleId, replayed }, "decided");
}

/** The request's fields, which are ours to name: a path below them, or a field unknown to us, is the caller's text. */
const FIELD = /^(?:tool|payload|idempotency_key|agent_id|nonce)\b/;

/** What is known of a request that is answered with a fault. */
interface Faulted {
  readonly method: string;
  readonly agentId?: string | null;
}

const told = new WeakSet<Fault>();

/**
 * Faults that are the service's own come with their cause; the callers' are worth no more than a line when debugging. Each is
 * told once: by whoever knows its agent, or else by the road, which sees them all.
 */
export function logFault(log: Log, fault: Fault, { method, agentId = null }: Faulted): void {
  if (told.has(fault)) return;
  told.add(fault);
  const { code } = fault;
  if (fault.status === "internal" || fault.status === "unavailable") {
    const cause = fault.cause instanceof Error ? { cause: fault.cause.message } : {};
    log.error({ code, method, agentId, ...cause }, fault.message);
    return;
  }
  // Their messages name members of payloads.
  log.debug({ code, method, agentId, field: FIELD.exec(fault.field ?? "")?.[0] }, "refused");
}
