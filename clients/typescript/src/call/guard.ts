import type { Question } from "@datacrawl/core/request";
import type { Breaker, Permit, Result } from "../circuit/breaker.ts";
import type { GrantClaims } from "@datacrawl/core/grant";
import type { Clock } from "@datacrawl/core/clock";
import { isAllow, type Reason } from "@datacrawl/core/decision";
import { failpoint } from "@datacrawl/core/failpoint";
import { Fault } from "@datacrawl/core/fault";
import type { RandomPool } from "@datacrawl/core/ids";
import { ask, type Asked, type Road } from "./ask.ts";
import { Denials, EVERY_REQUEST } from "./denials.ts";
import type { GrantKeeper } from "../grants/grants.ts";
import type { Journal } from "../journal/journal.ts";
import { requestDigest } from "./key.ts";
import { Limit } from "./limit.ts";
import { excerpt, type Outcome, type Refusal } from "./outcome.ts";
import { type GuardRequest, readQuestion } from "./question.ts";
import { guardVerdict, type GuardVerdict, serviceVerdict } from "./verdict.ts";

export interface GuardParts {
  readonly agentId: string;
  readonly road: Road;
  readonly breaker: Breaker;
  readonly journal: Journal;
  readonly grants: GrantKeeper;
  readonly clock: Clock;
  readonly random: RandomPool;
  /** Told of each error that should not exist. Its call is denied. */
  readonly onBug?: ((error: unknown) => void) | undefined;
}

export interface GuardCall {
  /** When the caller stops waiting, on the monotonic clock, in milliseconds. */
  readonly deadlineAt: number;
  /** Aborted when the caller cancels. Read only if there is something to wait for: making one costs more than a deny. */
  readonly signal?: AbortSignal | undefined;
  /** The W3C `traceparent` to pass on, well-formed. */
  readonly traceparent?: string | null;
}

export interface Guard {
  /** Never rejects, and never outlives the call's deadline. Whatever goes wrong is a deny. */
  authorize(request: GuardRequest, call: GuardCall): Promise<GuardVerdict>;
  /** The same for a question that has been parsed: of this guard's agent, and within the contract's limits. */
  decide(question: Question, call: GuardCall): Promise<GuardVerdict>;
}

/** The agent could not say who it is, so nothing was asked. */
const NO_CREDENTIAL: Refusal = { code: "BAD_CREDENTIAL", retryAfterMs: null };
/** The request breaks the contract, so it was not asked. */
export const NOT_A_REQUEST: Refusal = { code: "BAD_REQUEST", retryAfterMs: null };

/** A deadline speaks against the service only if it left as much time, in milliseconds. */
const FAIR_MS = 1000;

export function createGuard(parts: GuardParts): Guard {
  const denials = new Denials();
  const decide = async (question: Question, call: GuardCall): Promise<GuardVerdict> => {
    try {
      return await new Case(parts, denials, question).decide(call);
    } catch (error) {
      parts.onBug?.(error);
      return invalid(parts, error);
    }
  };
  const authorize = async (request: GuardRequest, call: GuardCall): Promise<GuardVerdict> => {
    try {
      return await decide(readQuestion(request, parts.agentId), call);
    } catch (error) {
      return invalid(parts, error);
    }
  };
  return { authorize, decide };
}

/** One question on its way to a verdict. */
class Case {
  readonly #parts: GuardParts;
  readonly #denials: Denials;
  readonly #question: Question;
  #digest: string | undefined;

  constructor(parts: GuardParts, denials: Denials, question: Question) {
    this.#parts = parts;
    this.#denials = denials;
    this.#question = question;
  }

  async decide(call: GuardCall): Promise<GuardVerdict> {
    const { breaker, road, clock, random } = this.#parts;
    const permit = breaker.permit();
    if (permit.kind === "denied") return this.#withoutService(permit, call);
    const { deadlineAt, signal } = call;
    const until = permit.kind === "probe" ? Math.min(deadlineAt, clock.monotonic() + permit.leaseMs) : deadlineAt;
    let result: Result = { kind: "ignored" };
    try {
      using limit = new Limit(clock, until, signal);
      const asked = await ask(road, this.#question, limit, { clock, random, traceparent: call.traceparent ?? null });
      result = resultOf(asked, permit);
      this.#remember(asked);
      return this.#verdictOf(asked);
    } finally {
      breaker.report(permit.token, result);
    }
  }

  /** The circuit is open: a deny at once, unless an operator has signed otherwise. */
  #withoutService(permit: Denied, call: GuardCall): GuardVerdict | Promise<GuardVerdict> {
    const bypass = this.#bypassFor(permit);
    if ("problem" in bypass) return this.#deny("CIRCUIT_OPEN", openMessage(permit), { attempts: 0 });
    return this.#bypass(permit, bypass.grant, call);
  }

  /**
   * The grant that lets this question pass now, or why none does.
   *
   * INVARIANT: only while this process's own count of failures holds the circuit open, and never against the service's no.
   */
  #bypassFor(permit: Denied): { readonly grant: GrantClaims } | { readonly problem: string } {
    const { breaker, grants, clock } = this.#parts;
    const found = grants.lookup(this.#question.tool);
    if ("problem" in found) return found;
    if (permit.cause !== "local" || !breaker.snapshot.openedLocally) {
      return { problem: "the circuit is not open by this process's own failures" };
    }
    if (this.#denials.unsent) return { problem: "the agent cannot say who it is" };
    if (this.#denials.suspects(this.#requestDigest, clock.monotonic(), found.grant.issuedAt)) {
      return { problem: "the service has denied this request, or this agent" };
    }
    return found;
  }

  async #bypass(permit: Denied, grant: GrantClaims, { deadlineAt, signal }: GuardCall): Promise<GuardVerdict> {
    const { journal, clock } = this.#parts;
    using limit = new Limit(clock, deadlineAt, signal);
    const message = `Allowed without the service, by ${excerpt(grant.operator)}'s grant ${grant.grantId}.`;
    const verdict = this.#verdict("CIRCUIT_BYPASS", message);
    failpoint("bypass-granted");
    const recording = journal.recordBypass({
      ...this.#record(verdict),
      kind: "bypass_allow",
      reason: "CIRCUIT_BYPASS",
      grantId: grant.grantId,
      attempts: 0,
    });
    const recorded = await limit.within(
      recording.then(
        () => true,
        () => false,
      ),
    );
    // From here on the record is on disk, or there will be no allow.
    if ("stop" in recorded || limit.passed)
      return this.#deny("DEADLINE_EXCEEDED", "The journal was not written in time.", { attempts: 0 });
    if (!recorded.value)
      return this.#deny("CIRCUIT_OPEN", "The circuit is open, and the journal cannot be written.", { attempts: 0 });
    // An fsync takes its time: the grant may have been revoked, the circuit closed, or the request denied meanwhile.
    const still = this.#bypassFor(permit);
    if ("problem" in still || still.grant.grantId !== grant.grantId)
      return this.#deny("CIRCUIT_OPEN", openMessage(permit), { attempts: 0 });
    failpoint("bypass-recorded");
    return verdict;
  }

  /** What the service has said of this request and of this agent, for a time when it cannot be asked. */
  #remember({ final, tookMs }: Asked): void {
    if (final.kind === "cancelled") return;
    const heard = final.kind === "deadline" ? final.heard : final;
    this.#denials.unsent = heard?.kind === "unsent";
    if (heard === null) return;
    const now = this.#parts.clock.monotonic();
    const answer = heard.kind === "answered" ? heard.answer : null;
    const hear = (what: string, isNo: boolean): void => {
      if (isNo) this.#denials.add(what, { heardAt: now, decidedAt: answer?.decidedAt ?? null });
      else if (answer !== null) this.#denials.remove(what, { ...answer, askedAt: now - tookMs });
    };
    hear(EVERY_REQUEST, refusesAgent(heard));
    hear(this.#requestDigest, saysNo(heard));
  }

  #verdictOf(asked: Asked): GuardVerdict {
    const { final } = asked;
    switch (final.kind) {
      case "answered": {
        return serviceVerdict(final.answer, this.#parts.clock);
      }
      case "malformed":
        return this.#deny("MALFORMED_RESPONSE", `The answer was malformed: ${final.problem}.`, asked);
      case "unavailable":
      case "failed":
        return this.#deny("SERVICE_UNAVAILABLE", `The service failed: ${final.problem}.`, asked);
      case "refused":
      case "unsent": {
        const refusal = final.kind === "refused" ? final.refusal : NO_CREDENTIAL;
        return this.#deny("REQUEST_REFUSED", `The request was refused: ${final.problem}.`, {
          attempts: asked.attempts,
          refusal,
        });
      }
      case "late":
      case "deadline":
        return this.#deny("DEADLINE_EXCEEDED", "There was no answer before the deadline.", asked);
      case "cancelled":
        return this.#deny("DEADLINE_EXCEEDED", "The caller cancelled before there was an answer.", asked);
    }
  }

  /** A deny of the guard's own, into the journal too. */
  #deny(reason: Reason, message: string, { attempts, refusal }: { attempts: number; refusal?: Refusal }): GuardVerdict {
    const verdict = this.#verdict(reason, message, refusal);
    const { breaker, journal } = this.#parts;
    journal.recordDeny(() => {
      return { ...this.#record(verdict), kind: "deny", reason, attempts, errors: breaker.snapshot.lastErrors };
    });
    return verdict;
  }

  #record({ decisionId, message, decidedAt, idempotencyKey }: GuardVerdict) {
    const { agentId, tool } = this.#question;
    return { decisionId, agentId, tool, idempotencyKey, message, decidedAt, requestDigest: this.#requestDigest };
  }

  #verdict(reason: Reason, message: string, refusal?: Refusal): GuardVerdict {
    const { idempotencyKey } = this.#question;
    return guardVerdict(this.#parts, reason, message, { idempotencyKey, refusal: refusal ?? null });
  }

  get #requestDigest(): string {
    return (this.#digest ??= requestDigest(this.#question));
  }
}

type Denied = Extract<Permit, { kind: "denied" }>;

/** What a call tells the circuit: once, whatever its attempts. */
function resultOf({ final, tookMs, earlier }: Asked, permit: Permit): Result {
  switch (final.kind) {
    case "answered":
      return { kind: "success" };
    case "malformed":
    case "unavailable":
    case "failed":
      return { kind: "failure", error: final.problem };
    case "late":
      return tookMs >= FAIR_MS ? { kind: "failure", error: final.problem } : { kind: "ignored" };
    case "deadline":
      if (earlier.length > 0) return { kind: "failure", error: "it failed, and then the deadline passed" };
      return final.busy || tookMs < FAIR_MS
        ? { kind: "ignored" }
        : { kind: "failure", error: "no answer before the deadline" };
    case "refused":
      // Who refuses is there, which is all that a probe asks. And a credential that the service does not accept must not be
      // what keeps a circuit open, under which a bypass could act.
      return permit.kind === "probe" ? { kind: "success" } : { kind: "ignored" };
    case "unsent":
    case "cancelled":
      return { kind: "ignored" };
  }
}

function saysNo(heard: Outcome): boolean {
  switch (heard.kind) {
    case "answered":
      return !isAllow(heard.answer.decision);
    case "malformed":
      return heard.saysNo;
    case "refused":
      return heard.final;
    case "unavailable":
    case "failed":
    case "unsent":
    case "late":
      return false;
  }
}

/** Whether it is the agent, and not only this request, that gets a no: until the next sync its grant is still at hand. */
function refusesAgent(heard: Outcome): boolean {
  return heard.kind === "answered" ? heard.answer.reason === "AGENT_FROZEN" : heard.kind === "refused" && heard.ofAgent;
}

function openMessage({ cause, retryInMs }: Denied): string {
  const why = {
    local: "after repeated failures of the service",
    shared: "by other processes' word",
    forced: "by order",
  }[cause];
  return `The circuit is open ${why}; the next try may be in ${Math.ceil(retryInMs / 1000)} s.`;
}

/** The request is none that could be asked; or, which would be a mistake of ours, the guard itself failed. */
function invalid(parts: GuardParts, error: unknown): GuardVerdict {
  return guardVerdict(parts, "REQUEST_REFUSED", faultMessage(error), { refusal: NOT_A_REQUEST });
}

/** Why a request cannot be asked, for its caller. */
export function faultMessage(error: unknown): string {
  try {
    if (error instanceof Fault) return error.message;
  } catch {
    // A request's getter may throw anything, also a Proxy that throws when it is looked at.
  }
  return "The request could not be read.";
}
