import { hash } from "node:crypto";
import type { OpenGuard } from "@datacrawl/client/internal/call/open";
import type { Clock } from "../core/clock.ts";
import type { RandomPool } from "../core/ids.ts";
import type { ToolCall } from "./message.ts";
import type { Run, Runs } from "./runs.ts";

export type GuardVerdict = Awaited<ReturnType<OpenGuard["authorize"]>>;
type GuardStart = Awaited<ReturnType<OpenGuard["begin"]>>;

/** Why an allowed call was not started. */
export type NotStarted = Exclude<GuardStart, { readonly state: "started" }>;

/** Whether an allowed call may go to the server, as a run whose end is to be said. */
export type CallStart = { readonly state: "started"; readonly run: Run } | NotStarted;

export interface GateOptions {
  readonly guard: Pick<OpenGuard, "authorize" | "waitForReview" | "begin">;
  readonly runs: Pick<Runs, "open">;
  /** False: calls are forwarded without a start, and nothing is reported. */
  readonly once: boolean;
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
 * reaches the model that repeats the call. It lends it to one call at a time: one approval forwards one call. So it is with a call that was
 * approved and whose start was not answered.
 */
export class Gate {
  readonly #options: GateOptions;
  /** Keys of calls that were left under review, by what they ask. The oldest first. */
  readonly #reviews = new Map<string, string>();
  /** Keys of approved calls that may still be started. */
  readonly #approved = new WeakMap<GuardVerdict, string>();
  /** Nonces of starts that were not answered, by decision: with the same one such a start is found again. The oldest first. */
  readonly #nonces = new Map<string, Uint8Array>();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Never rejects. Only an allow lets the call be started. */
  async decide(call: Pick<ToolCall, "tool" | "payload">, options: DecideOptions): Promise<GuardVerdict> {
    const { server, principal, sessionId, random, guard, clock, timeoutMs } = this.#options;
    const question = questionOf(call);
    const lent = this.#reviews.get(question);
    const idempotencyKey = lent ?? `mcp:${random.take(16).toString("hex")}`;
    this.#reviews.delete(question);
    const asked = await guard.authorize(
      { tool: `${server}.${call.tool}`, payload: call.payload, idempotencyKey, principal, sessionId },
      { deadlineAt: clock.monotonic() + timeoutMs, signal: options.signal },
    );
    const verdict = asked.decision === "needs_review" ? await this.#wait(asked, options) : asked;
    const isStillOpen = verdict.decision === "needs_review" || (lent !== undefined && verdict.source === "guard");
    if (isStillOpen) remember(this.#reviews, question, idempotencyKey);
    if (verdict.reason === "REVIEW_APPROVED") this.#approved.set(verdict, idempotencyKey);
    return verdict;
  }

  /**
   * Starts a call that `decide` has just allowed, so that it is on record before the server gets it. Never rejects. Only `started` lets it be
   * forwarded. A caller that cancels does not end the start: its outcome is reported, which needs its answer.
   */
  async start(call: Pick<ToolCall, "tool" | "payload">, verdict: GuardVerdict): Promise<CallStart> {
    const { guard, runs, once, clock, random, timeoutMs } = this.#options;
    if (!once) return { state: "started", run: runs.open(null) };
    const { decisionId } = verdict;
    const nonce = this.#nonces.get(decisionId) ?? random.take(16);
    this.#nonces.delete(decisionId);
    const start = await guard.begin({ decisionId, nonce }, { deadlineAt: clock.monotonic() + timeoutMs });
    if (start.state === "started") return { state: "started", run: runs.open(start) };
    const approvedKey = this.#approved.get(verdict);
    if (start.state === "refused" && start.source === "guard" && approvedKey !== undefined) {
      // It may have been started all the same. Nobody has run it, so that the next equal call is a retry of this start.
      remember(this.#reviews, questionOf(call), approvedKey);
      remember(this.#nonces, decisionId, nonce);
    }
    return start;
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
}

function questionOf({ tool, payload }: Pick<ToolCall, "tool" | "payload">): string {
  return hash("sha256", JSON.stringify([tool, payload]), "hex");
}

function remember<Value>(known: Map<string, Value>, key: string, value: Value): void {
  known.set(key, value);
  if (known.size <= MAX_REVIEWS) return;
  const [oldest = ""] = known.keys();
  known.delete(oldest);
}
