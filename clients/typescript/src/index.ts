/**
 * DataCrawl for agents: ask before you act, and act only if the verdict is allowed. docs/client.md has the whole story.
 */
import { systemClock } from "@datacrawl/core/clock";
import { isAllow } from "@datacrawl/core/decision";
import { RandomPool } from "@datacrawl/core/ids";
import type { AuthorizeOptions, AuthorizeRequest, Authorizer, WaitOptions } from "./authorizer.ts";
import type { ExecutionOutcome, ExecutionReport } from "./call/execution.ts";
import { type GuardStatus, OpenGuard } from "./call/open.ts";
import { NOT_A_REQUEST } from "./call/outcome.ts";
import { reportProblem } from "./call/report-problem.ts";
import type { GuardCall } from "./call/through-circuit.ts";
import { guardVerdict } from "./call/verdict.ts";
import type { CircuitEvent, CircuitSnapshot } from "./circuit/breaker.ts";
import { type Execution, type Reported, reportedOf, type Start, startOf } from "./execution.ts";
import { type ClientSettings, type DataCrawlOptions, isTimeout, readOptions } from "./options.ts";
import type { JsonObject } from "./json.ts";
import { type Protected, type ProtectOptions, protectWith } from "./protect.ts";
import { traceparentOf } from "./trace.ts";
import { type ReviewVerdict, reviewVerdictOf, type Verdict, verdictOf } from "./verdict.ts";

export { isAllow } from "@datacrawl/core/decision";
export type { Decision, Reason, Source } from "@datacrawl/core/decision";
export type {
  AuthorizeOptions,
  AuthorizeRequest,
  Authorizer,
  WaitOptions,
} from "./authorizer.ts";
export type {
  ExecutionOutcome,
  ExecutionRefusal,
  ExecutionReport,
  GuardRefusal,
  ReportRefusal,
} from "./call/execution.ts";
export type { GuardStatus } from "./call/open.ts";
export type {
  AlreadyStarted,
  Execution,
  Reported,
  ReportNotRecorded,
  ReportRecorded,
  Start,
  StartRefused,
} from "./execution.ts";
export type { Json, JsonObject, JsonValue } from "./json.ts";
export type { RefusalCode } from "./call/outcome.ts";
export type { CircuitEvent, CircuitSnapshot } from "./circuit/breaker.ts";
export { DeniedError } from "./denied-error.ts";
export type { GrantStatus } from "./grants/grants.ts";
export { AlreadyStartedError, NotStartedError } from "./not-started-error.ts";
export type { DataCrawlOptions, Logger } from "./options.ts";
export type { Protected, ProtectedCall, ProtectOptions } from "./protect.ts";
export type { SyncStatus } from "./sync/sync.ts";
export type { CertificateFiles, TokenSource } from "./transport/identity.ts";
export type { ReviewVerdict, Verdict } from "./verdict.ts";

const WRONG_TIMEOUT = "timeoutMs must be from 1 to 600000.";
const WAIT_MS = 60_000;
const MAX_WAIT_MS = 7 * 86_400_000;

/**
 * Asks the service for one agent, and denies on every failure. Make one for each agent in a process and keep it: it owns the circuit and
 * the connection.
 *
 * @example
 * const dc = new DataCrawl({ url: "https://authz.internal:7440", apiKey: process.env.DATACRAWL_API_KEY });
 * const verdict = await dc.authorize({ tool: "gmail.send_email", payload });
 * if (verdict.allowed) await sendEmail(payload);
 */
export class DataCrawl implements Authorizer, AsyncDisposable {
  readonly #settings: ClientSettings;
  readonly #random = new RandomPool();
  readonly #listeners = new Set<(event: CircuitEvent) => unknown>();
  #guard: OpenGuard | null = null;

  /**
   * Connects with the first call or {@link ready}, not before. Does not keep the process alive.
   *
   * @throws TypeError naming every wrong option
   */
  constructor(options: DataCrawlOptions = {}) {
    this.#settings = readOptions(options, process.env);
  }

  /** Opens the journal and connects, so that the first call does not wait for it. @returns the guard's status */
  async ready(): Promise<GuardStatus> {
    const guard = this.#open();
    await guard.opened;
    return guard.status as GuardStatus;
  }

  async authorize(request: AuthorizeRequest, options: AuthorizeOptions = {}): Promise<Verdict> {
    const verdict = await this.#authorize(request, options);
    this.#report(verdict, request);
    return verdict;
  }

  async waitForReview(decisionId: string, options: WaitOptions = {}): Promise<ReviewVerdict> {
    try {
      const { signal, timeoutMs = WAIT_MS } = options;
      if (!isWait(timeoutMs)) return { ...this.#refuse(`timeoutMs must be from 1 to ${MAX_WAIT_MS}.`), tool: "" };
      const deadlineAt = systemClock.monotonic() + timeoutMs;
      return reviewVerdictOf(await this.#open().waitForReview(decisionId, { deadlineAt, signal }));
    } catch {
      return { ...this.#refuse("The options could not be read."), tool: "" };
    }
  }

  async begin(verdict: Verdict, options: AuthorizeOptions = {}): Promise<Start> {
    const refuse = (message: string, decisionId = ""): Start => {
      const why = { reason: "REQUEST_REFUSED", message, refusal: NOT_A_REQUEST } as const;
      return startOf({ state: "refused", source: "guard", decisionId, ...why });
    };
    try {
      const { decision, decisionId } = verdict;
      const call = this.#callOf(options);
      if (call === null) return refuse(WRONG_TIMEOUT, decisionId);
      if (!isAllow(decision)) return refuse("The verdict is not an allow.", decisionId);
      return startOf(await this.#open().begin({ decisionId }, call));
    } catch {
      return refuse("The verdict or the options could not be read.");
    }
  }

  async report(
    execution: Execution,
    outcome: ExecutionOutcome | ExecutionReport,
    options: AuthorizeOptions = {},
  ): Promise<Reported> {
    const refuse = (message: string): Reported =>
      reportedOf({
        state: "not_recorded",
        reason: "REQUEST_REFUSED",
        message,
        refusal: NOT_A_REQUEST,
        reportRefusal: null,
        kept: false,
      });
    try {
      const { decisionId, executionId } = execution;
      const said = typeof outcome === "string" ? { outcome } : { ...outcome };
      const call = this.#callOf(options);
      if (call === null) return refuse(WRONG_TIMEOUT);
      const problem = reportProblem(said);
      if (problem !== null) return refuse(problem);
      return reportedOf(await this.#open().report({ ...said, decisionId, executionId }, call));
    } catch {
      return refuse("The report or the options could not be read.");
    }
  }

  protect<Payload extends object = JsonObject, Result = unknown>(
    tool: string,
    action: (payload: Payload, verdict: Verdict) => Result | Promise<Result>,
    options: ProtectOptions<Payload> = {},
  ): Protected<Payload, Result> {
    const ports = {
      authorize: this.authorize.bind(this),
      waitForReview: this.waitForReview.bind(this),
      begin: this.begin.bind(this),
      report: this.report.bind(this),
      warn: (message: string) => this.#settings.logger.warn(message),
    };
    return protectWith(ports, tool, action, options);
  }

  /** The circuit now. */
  get circuit(): CircuitSnapshot {
    return this.#open().breaker.snapshot;
  }

  /** Uploads, grant, journal, and warnings for operators. Null until the journal is open. */
  get status(): GuardStatus | null {
    return this.#guard?.status ?? null;
  }

  /**
   * Calls `listener` at each change of the circuit's state. Its errors become process warnings.
   *
   * @returns a function that stops it
   * @throws TypeError for another event
   * @example
   * const stop = dc.on("circuit", ({ from, to, cause }) => log.info({ from, to, cause }));
   */
  on(event: "circuit", listener: (event: CircuitEvent) => unknown): () => void {
    if (event !== "circuit") throw new TypeError(`there is no event ${JSON.stringify(event)}: listen to "circuit"`);
    if (this.#guard !== null) return this.#guard.breaker.on(listener);
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Uploads what it can within a few seconds, and closes connections and files. Every later verdict is a deny. Never rejects. */
  close(): Promise<void> {
    return this.#open().close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #authorize(request: AuthorizeRequest, options: AuthorizeOptions): Promise<Verdict> {
    try {
      const call = this.#callOf(options);
      if (call === null) return this.#refuse(WRONG_TIMEOUT);
      return verdictOf(await this.#open().authorize(request, call));
    } catch {
      return this.#refuse("The options could not be read.");
    }
  }

  /** Null if the timeout is wrong. */
  #callOf({ signal, timeoutMs = this.#settings.timeoutMs, traceparent }: AuthorizeOptions): GuardCall | null {
    if (!isTimeout(timeoutMs)) return null;
    return { deadlineAt: systemClock.monotonic() + timeoutMs, signal, traceparent: traceparentOf(traceparent) };
  }

  #open(): OpenGuard {
    if (this.#guard !== null) return this.#guard;
    const { timeoutMs: _, onVerdict: __, logger: ___, ...settings } = this.#settings;
    const guard = new OpenGuard({ ...settings, clock: systemClock, random: this.#random });
    this.#guard = guard;
    for (const listener of this.#listeners)
      guard.breaker.on((event) => this.#listeners.has(listener) && listener(event));
    void this.#warnOfDisk(guard);
    return guard;
  }

  async #warnOfDisk(guard: OpenGuard): Promise<void> {
    const problem = await guard.opened;
    if (problem !== null) this.#settings.logger.warn(`${problem}; there will be no bypass`);
  }

  /** A hook that fails must not change the verdict. */
  #report(verdict: Verdict, request: AuthorizeRequest): void {
    try {
      this.#settings.onVerdict?.(verdict, request.tool);
    } catch (error) {
      this.#settings.logger.warn(`onVerdict failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #refuse(message: string): Verdict {
    const parts = { clock: systemClock, random: this.#random };
    return verdictOf(guardVerdict(parts, "REQUEST_REFUSED", message, { refusal: NOT_A_REQUEST }));
  }
}

function isWait(milliseconds: unknown): milliseconds is number {
  return typeof milliseconds === "number" && milliseconds >= 1 && milliseconds <= MAX_WAIT_MS;
}
