/** A fake of the client for tests of agents. */
import { systemClock } from "@datacrawl/core/clock";
import { type Decision, judge, type Reason } from "@datacrawl/core/decision";
import type { AuthorizeRequest, Authorizer } from "./authorizer.ts";
import type { JsonObject } from "./json.ts";
import { copyPayload } from "./call/question.ts";
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
  readonly #answers: Readonly<Record<string, FakeAnswer>>;
  readonly #reviews = new Map<string, { readonly request: AuthorizeRequest; decision: Decision }>();

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

  protect<Payload extends object = JsonObject, Result = unknown>(
    tool: string,
    action: (payload: Payload, verdict: Verdict) => Result | Promise<Result>,
    options: ProtectOptions<Payload> = {},
  ): Protected<Payload, Result> {
    return protectWith(this, tool, action, options);
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
