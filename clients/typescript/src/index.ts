/**
 * DataCrawl for agents: ask before you act, and act only on `"allow"`. docs/client.md tells it at length.
 */
import type { CircuitEvent, CircuitSnapshot } from "./circuit/breaker.ts";
import { systemClock } from "@datacrawl/core/clock";
import { isAllow } from "@datacrawl/core/decision";
import { faultMessage, guardVerdict } from "./call/guard.ts";
import { type GuardStatus, type OpenGuard, openGuard } from "./call/open.ts";
import { copyPayload, type GuardRequest } from "./call/question.ts";
import type { Verdict } from "./call/verdict.ts";
import type { ReviewVerdict } from "./call/wait.ts";
import { RandomPool } from "@datacrawl/core/ids";
import { DeniedError } from "./denied-error.ts";
import { type DataCrawlOptions, isTimeout, readOptions } from "./options.ts";

export type { CircuitEvent, CircuitSnapshot } from "./circuit/breaker.ts";
export type { Decision, Reason, Source } from "@datacrawl/core/decision";
export type { GuardStatus } from "./call/open.ts";
export type { GuardRequest as AuthorizeRequest } from "./call/question.ts";
export type { Verdict } from "./call/verdict.ts";
export type { ReviewVerdict } from "./call/wait.ts";
export { DeniedError } from "./denied-error.ts";
export type { DataCrawlOptions } from "./options.ts";

export interface AuthorizeOptions {
  /** Cancels: the verdict is then a deny at once. */
  readonly signal?: AbortSignal | undefined;
  /** Instead of the client's, in milliseconds: 1 to 600,000. */
  readonly timeoutMs?: number | undefined;
}

export interface WaitOptions {
  /** Cancels: the wait ends at once. */
  readonly signal?: AbortSignal | undefined;
  /** How long to wait, in milliseconds: 1 to 604,800,000 (seven days); default 60,000. */
  readonly timeoutMs?: number | undefined;
}

export interface ProtectOptions<Payload> extends AuthorizeOptions {
  /** Names the action that a payload asks for. Default: derived from agent, tool and payload. */
  readonly idempotencyKey?: ((payload: Payload) => string) | undefined;
}

const WAIT_MS = 60_000;
const MAX_WAIT_MS = 7 * 86_400_000;

/** One agent's guard in this process. Make one, and keep it: the circuit and the connection are its own. */
export class DataCrawl implements AsyncDisposable {
  readonly #guard: OpenGuard;
  readonly #timeoutMs: number;
  readonly #random = new RandomPool();

  /** Connects to nothing yet, and does not keep the process alive. @throws TypeError naming every wrong option */
  constructor(options: DataCrawlOptions = {}) {
    const { timeoutMs, ...settings } = readOptions(options, process.env);
    this.#timeoutMs = timeoutMs;
    this.#guard = openGuard({ ...settings, clock: systemClock, random: this.#random });
    void this.#warnOfDisk();
  }

  /**
   * Whether the agent may call `request.tool` with `request.payload`. Act only if `decision === "allow"`.
   *
   * Never throws, and never outlives its deadline: whatever goes wrong is a deny, with the reason in the verdict. The payload is
   * read once, at the call; to change it afterwards and act is to do something else than what was allowed.
   */
  async authorize(request: GuardRequest, options: AuthorizeOptions = {}): Promise<Verdict> {
    try {
      const { signal, timeoutMs = this.#timeoutMs } = options;
      if (!isTimeout(timeoutMs)) return this.#refuse("timeoutMs must be from 1 to 600000.");
      return await this.#guard.authorize(request, { deadlineAt: systemClock.monotonic() + timeoutMs, signal });
    } catch {
      return this.#refuse("The options could not be read.");
    }
  }

  /**
   * What people decide about a call that was answered `"needs_review"`. Act only if `decision === "allow"`.
   *
   * Never throws, and never outlives its timeout. Lost connections are made again. If nobody has decided in time the verdict is still
   * `"needs_review"`; if the service could not be asked it is a deny, under the same decision id. Neither the circuit nor the journal
   * is touched.
   */
  async waitForReview(decisionId: string, options: WaitOptions = {}): Promise<ReviewVerdict> {
    try {
      const { signal, timeoutMs = WAIT_MS } = options;
      if (!isWait(timeoutMs)) return { ...this.#refuse(`timeoutMs must be from 1 to ${MAX_WAIT_MS}.`), tool: "" };
      return await this.#guard.waitForReview(decisionId, { deadlineAt: systemClock.monotonic() + timeoutMs, signal });
    } catch {
      return { ...this.#refuse("The options could not be read."), tool: "" };
    }
  }

  /**
   * `action`, made to run only if it is allowed. It is given a copy of the payload, as plain JSON: the very values that were
   * allowed, whatever has become of the caller's object; and the verdict, by whose `decisionId` a tool deduplicates.
   *
   * @returns a function that rejects with {@link DeniedError} where `action` was not run
   */
  protect<Payload extends object, Result>(
    tool: string,
    action: (payload: Payload, verdict: Verdict) => Result | Promise<Result>,
    options: ProtectOptions<Payload> = {},
  ): (payload: Payload) => Promise<Result> {
    return async (payload) => {
      const read = tryCopy(payload);
      if ("problem" in read) throw new DeniedError(tool, this.#refuse(read.problem));
      const { idempotencyKey, ...rest } = options;
      const key = idempotencyKey?.(read.copy);
      const verdict = await this.authorize({ tool, payload: read.copy, idempotencyKey: key }, rest);
      if (!isAllow(verdict.decision)) throw new DeniedError(tool, verdict);
      return action(read.copy, verdict);
    };
  }

  /** The circuit as it is now. */
  get circuit(): CircuitSnapshot {
    return this.#guard.breaker.snapshot;
  }

  /** How the guard itself is: uploads, grant, journal, and what an operator should know. Null until the journal is open. */
  get status(): GuardStatus | null {
    return this.#guard.status;
  }

  /** Calls `listener` at each change of the circuit's state. @returns how to stop */
  on(_event: "circuit", listener: (event: CircuitEvent) => unknown): () => void {
    return this.#guard.breaker.on(listener);
  }

  /** Uploads what it can within a few seconds, and lets go of connections and files. Every later verdict is a deny. */
  close(): Promise<void> {
    return this.#guard.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #warnOfDisk(): Promise<void> {
    const problem = await this.#guard.opened;
    if (problem !== null) process.emitWarning(`${problem}; there will be no bypass`, "DataCrawlWarning");
  }

  #refuse(message: string): Verdict {
    return guardVerdict({ clock: systemClock, random: this.#random }, "REQUEST_REFUSED", message, "");
  }
}

function isWait(milliseconds: unknown): milliseconds is number {
  return typeof milliseconds === "number" && milliseconds >= 1 && milliseconds <= MAX_WAIT_MS;
}

function tryCopy<Payload extends object>(payload: Payload): { readonly copy: Payload } | { readonly problem: string } {
  try {
    return { copy: copyPayload(payload) as Payload };
  } catch (error) {
    return { problem: faultMessage(error) };
  }
}
