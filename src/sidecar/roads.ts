import type { Answer, AuthorizeHandler } from "../authorize/call.ts";
import { parseRequest } from "../authorize/request.ts";
import type { Clock } from "../clock.ts";
import { Fault } from "../fault.ts";
import type { Guard } from "../guard/guard.ts";
import type { Roads } from "../server/roads.ts";

export interface SidecarRoadsOptions {
  readonly guard: Guard;
  readonly agentId: string;
  /** How long a verdict may take, whatever its caller's deadline, in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Told of each answer. Must not throw. */
  readonly answered: (answer: Answer, tookMs: number) => void;
}

/** What is left of a caller's deadline for the way back: a deny should reach the stub before its own timer does. */
const WAY_BACK_MS = 25;

/** The guard behind AuthorizeService. What comes in is held to the same limits, and refused in the same words, as by the service. */
export function sidecarRoads(options: SidecarRoadsOptions): Roads {
  return {
    authorize: authorizeWith(options),
    syncGuard: async () => {
      throw new Fault("METHOD_NOT_SERVED", "A sidecar syncs with the service by itself.");
    },
    // Each answer says for itself who decided.
    source: "guard",
  };
}

function authorizeWith({ guard, agentId, timeoutMs, clock, answered }: SidecarRoadsOptions): AuthorizeHandler {
  return async (call) => {
    const startedAt = clock.monotonic();
    const request = call.readBody();
    const question = parseRequest(request, agentId);
    const { tool, idempotencyKey } = question;
    const deadlineAt = Math.min(call.deadlineAt - WAY_BACK_MS, startedAt + timeoutMs);
    const verdict = await guard.decide(question, { deadlineAt, signal: call.signal });
    // The echoes are of this caller's question, the nonce too: the service's answer was held against another.
    const answer: Answer = { ...verdict, agentId, tool, idempotencyKey, nonce: request.nonce };
    answered(answer, clock.monotonic() - startedAt);
    return answer;
  };
}
