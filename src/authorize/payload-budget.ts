import { Fault } from "../core/fault.ts";

export interface PayloadLimits {
  /** Characters of canonical JSON, of all agents. */
  readonly total: number;
  readonly perAgent: number;
}

/** Parsed, a payload takes up to 22 times the room of its text (a list of empty objects does): 350 MiB at the worst. */
export const PAYLOAD_LIMITS: PayloadLimits = { total: 16 * 1024 * 1024, perAgent: 4 * 1024 * 1024 };

/**
 * Bounds the payloads of requests that are under way, so that a database that stalls, or one agent, cannot fill the memory
 * with large ones. How many requests wait says nothing about that: their sizes differ ten-thousandfold.
 */
export class PayloadBudget {
  readonly #limits: PayloadLimits;
  readonly #held = new Map<string, number>();
  #total = 0;

  constructor(limits: PayloadLimits = PAYLOAD_LIMITS) {
    this.#limits = limits;
  }

  /** @throws Fault QUEUE_FULL; otherwise {@link release} must follow */
  hold(agentId: string, size: number): void {
    const ofAgent = (this.#held.get(agentId) ?? 0) + size;
    if (ofAgent > this.#limits.perAgent || this.#total + size > this.#limits.total) {
      throw new Fault("QUEUE_FULL", "Too many large payloads wait to be decided.", { retryAfterMs: 100 });
    }
    this.#held.set(agentId, ofAgent);
    this.#total += size;
  }

  release(agentId: string, size: number): void {
    const left = (this.#held.get(agentId) as number) - size;
    if (left === 0) this.#held.delete(agentId);
    else this.#held.set(agentId, left);
    this.#total -= size;
  }
}
