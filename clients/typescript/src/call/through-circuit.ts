import type { Clock } from "@datacrawl/core/clock";
import { Deadline } from "@datacrawl/core/deadline";
import type { RandomPool } from "@datacrawl/core/ids";
import type { Breaker, Permit, Result } from "../circuit/breaker.ts";
import type { Attempted } from "./ask.ts";
import { resultOf } from "./result.ts";
import { type CallResult, withRetries } from "./retry.ts";

/** What a call is given. */
export interface GuardCall {
  /** When the caller stops waiting, on the monotonic clock, in milliseconds. */
  readonly deadlineAt: number;
  /** Aborted when the caller cancels. Read only if there is something to wait for: making one costs more than a deny. */
  readonly signal?: AbortSignal | undefined;
  /** The W3C `traceparent` to pass on, well-formed. */
  readonly traceparent?: string | null;
}

interface CircuitParts {
  readonly breaker: Breaker;
  readonly clock: Clock;
  readonly random: RandomPool;
}

/**
 * Calls the service with a permit of the circuit's, and reports the result to the circuit: once, whatever the attempts.
 *
 * @param conclude what the call comes to; runs before the report to the circuit
 */
export async function throughCircuit<Answer extends { readonly kind: "answered" }, Value>(
  parts: CircuitParts,
  permit: Exclude<Permit, { readonly kind: "denied" }>,
  { deadlineAt, signal }: GuardCall,
  attempt: (deadline: Deadline) => Promise<Attempted<Answer>>,
  conclude: (asked: CallResult<Attempted<Answer>>) => Value,
): Promise<Value> {
  const { breaker, clock } = parts;
  const until = permit.kind === "probe" ? Math.min(deadlineAt, clock.monotonic() + permit.leaseMs) : deadlineAt;
  let result: Result = { kind: "ignored" };
  try {
    using deadline = new Deadline(clock, until, { signal });
    const asked = await withRetries(parts, deadline, () => attempt(deadline));
    result = resultOf(asked, permit);
    return conclude(asked);
  } finally {
    breaker.report(permit.token, result);
  }
}
