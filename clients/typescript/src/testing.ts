/** A fake of the client for tests of agents. */
import { systemClock } from "@datacrawl/core/clock";
import { type Decision, judge, type Reason } from "@datacrawl/core/decision";
import type { AuthorizeRequest, Authorizer } from "./authorizer.ts";
import type { ExecutionOutcome, ExecutionReport } from "./call/execution.ts";
import type { JsonObject } from "./json.ts";
import { copyPayload } from "./call/question.ts";
import type { AlreadyStarted, Execution, Reported, Start } from "./execution.ts";
import { type Protected, type ProtectOptions, protectWith } from "./protect.ts";
import type { ReviewVerdict, Verdict } from "./verdict.ts";

/** The answer for a tool: a decision, or a function that decides by the payload. */
export type FakeAnswer = Decision | ((payload: JsonObject) => Decision);

/**
 * A stand-in for `DataCrawl` in tests. It connects to nothing, and denies every tool without an answer.
 *
 * @example
 * const dc = new FakeDataCrawl({ "gmail.send_email": "allow" });
 * await runAgent(dc);
 * expect(dc.requests).toEqual([{ tool: "gmail.send_email", payload: { to: "ann@example.com" } }]);
 */
export class FakeDataCrawl implements Authorizer {
  /** The requests, in order; each payload is a copy. */
  readonly requests: AuthorizeRequest[] = [];
  /** How executions ended, in the order of their reports. */
  readonly reports: (ExecutionReport & { readonly decisionId: string })[] = [];
  readonly #answers: Readonly<Record<string, FakeAnswer>>;
  readonly #reviews = new Map<string, { readonly request: AuthorizeRequest; decision: Decision }>();
  /** By the key of the action, or by the decision where no key was given. */
  readonly #started = new Map<
    string,
    { readonly execution: Execution; report: ExecutionReport | null; endedAt: Date }
  >();

  /** @param answers by tool; a tool without an answer is denied */
  constructor(answers: Readonly<Record<string, FakeAnswer>> = {}) {
    this.#answers = answers;
  }

  async authorize(request: AuthorizeRequest): Promise<Verdict> {
    let payload: JsonObject;
    try {
      payload = copyPayload(request.payload ?? {});
    } catch (error) {
      return fakeVerdict("REQUEST_REFUSED", request, { code: "BAD_REQUEST", message: String(error) });
    }
    const asked = { ...request, payload };
    this.requests.push(asked);
    const answer = Object.hasOwn(this.#answers, request.tool) ? this.#answers[request.tool] : undefined;
    const decision = typeof answer === "function" ? answer(payload) : answer;
    const verdict = fakeVerdict(REASONS.get(decision) ?? "NO_MATCHING_RULE", request);
    if (verdict.decision === "needs_review")
      this.#reviews.set(verdict.decisionId, { request: asked, decision: "needs_review" });
    return verdict;
  }

  /** Decides a review; later calls of `waitForReview` return this decision. @throws Error if the decision needs no review */
  resolveReview(decisionId: string, decision: "allow" | "deny"): void {
    const review = this.#reviews.get(decisionId);
    if (review === undefined) throw new Error(`there is no decision ${decisionId} that needs a review`);
    review.decision = decision;
  }

  async waitForReview(decisionId: string): Promise<ReviewVerdict> {
    const review = this.#reviews.get(decisionId);
    if (review === undefined)
      return { ...fakeVerdict("REQUEST_REFUSED", { tool: "" }, { code: "BAD_REQUEST" }), decisionId, tool: "" };
    const reason = ({ allow: "REVIEW_APPROVED", deny: "REVIEW_REJECTED", needs_review: "REVIEW_PENDING" } as const)[
      review.decision
    ];
    return { ...fakeVerdict(reason, review.request), decisionId, tool: review.request.tool };
  }

  /** Each decision is started once, and so is each idempotency key that was given. */
  async begin(verdict: Verdict): Promise<Start> {
    const { decisionId, idempotencyKey } = verdict;
    const named = { message: "The fake starts each action once.", decisionId, source: "service" } as const;
    if (!verdict.allowed) return { ...named, state: "refused", reason: "NOT_ALLOWED", code: null, retryAfterMs: null };
    const key = idempotencyKey === "" ? decisionId : `key ${idempotencyKey}`;
    const before = this.#started.get(key);
    const startedAt = new Date(systemClock.now() / 1000);
    const times = { startedAt, startedBy: "fake", reportDueAt: new Date(startedAt.getTime() + 900_000) };
    if (before !== undefined) {
      const { startedAt: at, startedBy, reportDueAt } = before.execution;
      const end = { outcome: before.report?.outcome ?? null, endedAt: before.report === null ? null : before.endedAt };
      const answer: AlreadyStarted = {
        ...named,
        state: "already_started",
        startedAt: at,
        startedBy,
        reportDueAt,
        ...end,
      };
      return answer;
    }
    const execution: Execution = { ...named, state: "started", executionId: crypto.randomUUID(), ...times };
    this.#started.set(key, { execution, report: null, endedAt: startedAt });
    return execution;
  }

  async report(execution: Execution, outcome: ExecutionOutcome | ExecutionReport): Promise<Reported> {
    const report = typeof outcome === "string" ? { outcome } : outcome;
    const found = [...this.#started.values()].find((one) => one.execution.executionId === execution.executionId);
    if (found === undefined || (found.report !== null && found.report.outcome !== report.outcome)) {
      const reportRefusal = found === undefined ? "EXECUTION_UNKNOWN" : "OUTCOME_CONTRADICTED";
      const refused = { reason: "REQUEST_REFUSED", code: "BAD_REQUEST", retryAfterMs: null } as const;
      const why = { ...refused, reportRefusal, kept: false } as const;
      return { state: "not_recorded", ...why, message: "There is no such execution, or it ended otherwise." };
    }
    const replayed = found.report !== null;
    if (!replayed) {
      found.report = report;
      found.endedAt = new Date(systemClock.now() / 1000);
      this.reports.push({ ...report, decisionId: execution.decisionId });
    }
    return { state: "recorded", endedAt: found.endedAt, replayed };
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
      warn: (message: string) => process.emitWarning(message, "DataCrawlWarning"),
    };
    return protectWith(ports, tool, action, options);
  }
}

const REASONS = new Map<Decision | undefined, Reason>([
  ["allow", "RULE_ALLOWED"],
  ["deny", "RULE_DENIED"],
  ["needs_review", "REVIEW_PENDING"],
]);

function fakeVerdict(reason: Reason, request: AuthorizeRequest, more: Partial<Verdict> = {}): Verdict {
  const { decision, message } = judge(reason, `The fake answers ${reason}.`);
  return Object.freeze({
    allowed: decision === "allow",
    decision,
    reason,
    message,
    code: null,
    retryAfterMs: null,
    decisionId: crypto.randomUUID(),
    policyVersion: "",
    ruleId: null,
    replayed: false,
    source: "service",
    decidedAt: new Date(systemClock.now() / 1000),
    idempotencyKey: request.idempotencyKey ?? "",
    ...more,
  });
}
