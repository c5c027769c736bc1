import { hash } from "node:crypto";
import type { OpenGuard } from "@datacrawl/client/internal/call/open";
import type { Clock } from "../core/clock.ts";
import type { RandomPool } from "../core/ids.ts";
import type { ToolCall } from "./message.ts";

export type GuardVerdict = Awaited<ReturnType<OpenGuard["authorize"]>>;

export interface GateOptions {
  readonly guard: Pick<OpenGuard, "authorize" | "waitForReview">;
  /** The server's name in the names of tools: its tool `send` is asked about as `<server>.send`. */
  readonly server: string;
  /** How long the service may take for a decision, in milliseconds. */
  readonly timeoutMs: number;
  /** How long a call waits for people, in milliseconds. Zero: not at all. */
  readonly reviewWaitMs: number;
  readonly principal?: string | undefined;
  readonly sessionId?: string | undefined;
  readonly clock: Clock;
  readonly random: RandomPool;
}

export interface DecideOptions {
  /** Aborted when nobody waits for the call any more. */
  readonly signal: AbortSignal;
  /** Aborted when there is no more time for people, as when the client has closed its end. */
  readonly hurry?: AbortSignal | undefined;
  /** Called while people are awaited: at once, and every few seconds, with how often so far. */
  readonly onWaiting?: ((count: number, verdict: GuardVerdict) => void) | undefined;
}

/** How often a client hears that its call still waits. Clients give up on requests of which they hear nothing. */
const NOTICE_MS = 5_000;
/** How many open reviews are remembered. Of one that is forgotten, a repeated call opens another. */
const MAX_REVIEWS = 1_000;

/**
 * Decides about calls of one server's tools.
 *
 * A received call is an action of its own, with a random idempotency key: JSON-RPC's ids begin at 0 in each session, and the same
 * arguments may be meant twice. Only a call that was left waiting for people lends its key to the next equal one, so that an approval
 * reaches the model that repeats the call. It lends it to one call at a time: one approval forwards one call.
 */
export class Gate {
  readonly #options: GateOptions;
  /** Keys of calls that were left under review, by what they ask. The oldest first. */
  readonly #reviews = new Map<string, string>();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Never rejects. Only an allow lets the call be forwarded. */
  async decide(call: Pick<ToolCall, "tool" | "payload">, options: DecideOptions): Promise<GuardVerdict> {
    const { server, principal, sessionId, random, guard, clock, timeoutMs } = this.#options;
    const question = hash("sha256", JSON.stringify([call.tool, call.payload]), "hex");
    const lent = this.#reviews.get(question);
    const idempotencyKey = lent ?? `mcp:${random.take(16).toString("hex")}`;
    this.#reviews.delete(question);
    const asked = await guard.authorize(
      { tool: `${server}.${call.tool}`, payload: call.payload, idempotencyKey, principal, sessionId },
      { deadlineAt: clock.monotonic() + timeoutMs, signal: options.signal },
    );
    const verdict = asked.decision === "needs_review" ? await this.#wait(asked, options) : asked;
    const isStillOpen = verdict.decision === "needs_review" || (lent !== undefined && verdict.source === "guard");
    if (isStillOpen) this.#remember(question, idempotencyKey);
    return verdict;
  }

  async #wait(asked: GuardVerdict, { signal, hurry, onWaiting }: DecideOptions): Promise<GuardVerdict> {
    const { guard, clock, reviewWaitMs } = this.#options;
    if (reviewWaitMs === 0 || signal.aborted || hurry?.aborted) return asked;
    const ends = hurry === undefined ? signal : AbortSignal.any([signal, hurry]);
    let count = 0;
    const notice = (): void => onWaiting?.(++count, asked);
    const notices = setInterval(notice, NOTICE_MS);
    notice();
    const deadlineAt = clock.monotonic() + reviewWaitMs;
    const resolved = await guard.waitForReview(asked.decisionId, { deadlineAt, signal: ends });
    clearInterval(notices);
    // The guard's own deny means that it could not hear of the review, which is still open.
    return resolved.source === "guard" ? asked : resolved;
  }

  #remember(question: string, key: string): void {
    this.#reviews.set(question, key);
    if (this.#reviews.size <= MAX_REVIEWS) return;
    const [oldest = ""] = this.#reviews.keys();
    this.#reviews.delete(oldest);
  }
}
