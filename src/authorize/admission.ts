import { Fault } from "../core/fault.ts";

export interface AdmissionLimits {
  /** Requests per second and agent; 0 means no limit. */
  readonly ratePerAgent: number;
  /** Requests that an agent may save up and spend at once. */
  readonly burstPerAgent: number;
}

/** Tokens are added in fractions: an agent that waits as long as it should must not find 0.9999999 of one. */
const ROUNDING = 1e-6;

/**
 * Who may enter, before any work is done: a token bucket for each agent, so that one in a loop has to wait instead of
 * taking the others' turn. Each replica counts for itself.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #monotonic: () => number;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();
  #closed = false;

  constructor(limits: AdmissionLimits, monotonic: () => number) {
    this.#limits = limits;
    this.#monotonic = monotonic;
  }

  /**
   * @param cost in requests; more than there are tokens is a debt, which later requests wait for
   * @throws Fault RATE_LIMITED with the time until the next token; SHUTTING_DOWN after {@link close}
   */
  admit(agentId: string, cost = 1): void {
    if (this.#closed) throw new Fault("SHUTTING_DOWN", "This replica is shutting down.", { retryAfterMs: 1000 });
    const { ratePerAgent, burstPerAgent } = this.#limits;
    if (ratePerAgent === 0) return;
    const now = this.#monotonic();
    // Only authenticated agents get here, so there are no more buckets than agents.
    const bucket = this.#buckets.get(agentId) ?? { tokens: burstPerAgent, at: now };
    bucket.tokens = Math.min(burstPerAgent, bucket.tokens + ((now - bucket.at) / 1000) * ratePerAgent);
    bucket.at = now;
    this.#buckets.set(agentId, bucket);
    if (bucket.tokens < 1 - ROUNDING) {
      const retryAfterMs = Math.ceil(((1 - ROUNDING / 2 - bucket.tokens) / ratePerAgent) * 1000);
      throw new Fault("RATE_LIMITED", `The agent ${agentId} asks more often than ${ratePerAgent} times a second.`, {
        retryAfterMs,
      });
    }
    bucket.tokens -= cost;
  }

  close(): void {
    this.#closed = true;
  }
}

/**
 * Buckets of their own, so that an upload takes no turn of a question, and keeps no revocation from arriving: calls with records
 * are counted apart from those without. Ten records are worth a question: they are what hours of an outage have left.
 */
export function admitSyncs(rate: AdmissionLimits, monotonic: () => number): (agentId: string, records: number) => void {
  const [calls, uploads] = [new Admission(rate, monotonic), new Admission(rate, monotonic)];
  return (agentId, records) => {
    if (records === 0) calls.admit(agentId);
    else uploads.admit(agentId, 1 + records / 10);
  };
}
