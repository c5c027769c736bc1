import type { Question } from "@datacrawl/core/request";
import type { Breaker, Permit } from "../circuit/breaker.ts";
import type { GrantClaims } from "@datacrawl/core/grant";
import { Deadline } from "@datacrawl/core/deadline";
import { isAllow, type Reason } from "@datacrawl/core/decision";
import { failpoint } from "@datacrawl/core/failpoint";
import { Fault } from "@datacrawl/core/fault";
import { ask, type AskParts, type Attempted } from "./ask.ts";
import { Denials, EVERY_REQUEST } from "./denials.ts";
import { type Bypassed, Executions } from "./executions.ts";
import type { GrantKeeper } from "../grants/grants.ts";
import type { Journal } from "../journal/journal.ts";
import type { KeptReports } from "../journal/kept-reports.ts";
import type { BypassStarts } from "../journal/starts.ts";
import { requestDigest } from "./key.ts";
import { excerpt, NOT_A_REQUEST, type Outcome, type Refusal } from "./outcome.ts";
import { type GuardRequest, readQuestion } from "./question.ts";
import { RecentDecisions } from "./recent-decisions.ts";
import { noAnswerOf } from "./result.ts";
import type { CallResult } from "./retry.ts";
import type { AnsweredStart } from "./start-answer.ts";
import { type GuardCall, throughCircuit } from "./through-circuit.ts";
import { guardVerdict, type GuardVerdict } from "./verdict.ts";

export interface GuardParts extends AskParts {
  readonly agentId: string;
  readonly breaker: Breaker;
  readonly journal: Journal;
  readonly grants: GrantKeeper;
  readonly starts: BypassStarts;
  readonly reports: KeptReports;
  /** Called with each error that should not exist. Its call is denied. */
  readonly onBug?: ((error: unknown) => void) | undefined;
}

type Asked = CallResult<Attempted>;

/** Turns requests into verdicts: by asking the service, or alone while it cannot be asked. */
export class Guard {
  readonly #parts: GuardParts;
  readonly #denials = new Denials();
  readonly #bypasses: RecentDecisions<Bypassed>;
  /** The idempotency keys of the service's allows, where an action under a bypass may have had one of them. */
  readonly #keys: RecentDecisions<string>;
  /** What may be done with its allows. */
  readonly executions: Executions;

  constructor(parts: GuardParts) {
    this.#parts = parts;
    const [bypasses, keys] = [new RecentDecisions<Bypassed>(parts.clock), new RecentDecisions<string>(parts.clock)];
    [this.#bypasses, this.#keys] = [bypasses, keys];
    const journalId = parts.journal.id;
    this.executions = new Executions({ ...parts, bypasses, keys, journalId, hear: (final) => this.#hearStart(final) });
  }

  /** Never rejects, and never outlives the call's deadline. Whatever goes wrong is a deny. */
  async authorize(request: GuardRequest, call: GuardCall): Promise<GuardVerdict> {
    let question: Question;
    try {
      question = readQuestion(request, this.#parts.agentId);
    } catch (error) {
      return this.#invalid(error);
    }
    return this.decide(question, call);
  }

  /** The same for a question that has been parsed: of this guard's agent, and within the contract's limits. */
  async decide(question: Question, call: GuardCall): Promise<GuardVerdict> {
    try {
      return await this.#decide(question, call);
    } catch (error) {
      this.#parts.onBug?.(error);
      return this.#invalid(error);
    }
  }

  async #decide(question: Question, call: GuardCall): Promise<GuardVerdict> {
    const permit = this.#parts.breaker.permit();
    if (permit.kind === "denied") return this.#withoutService(question, permit, call);
    const { traceparent = null } = call;
    return throughCircuit(
      this.#parts,
      permit,
      call,
      (deadline) => ask(this.#parts, question, deadline, traceparent),
      (asked) => {
        this.#remember(question, asked);
        return this.#verdictOf(question, asked);
      },
    );
  }

  /** The circuit is open: a deny at once, unless an operator has signed otherwise. */
  #withoutService(question: Question, permit: Denied, call: GuardCall): GuardVerdict | Promise<GuardVerdict> {
    const bypass = this.#bypassFor(subjectOf(question), permit.cause);
    if ("problem" in bypass) return this.#deny(question, "CIRCUIT_OPEN", openMessage(permit), { attempts: 0 });
    return this.#bypass(question, permit, bypass.grant, call);
  }

  /**
   * The grant that lets this question pass now, or why none does.
   *
   * INVARIANT: only while this process's own count of failures holds the circuit open, and never against the service's no.
   */
  #bypassFor(
    { tool, digest }: Subject,
    cause: Denied["cause"],
  ): { readonly grant: GrantClaims } | { readonly problem: string } {
    const { breaker, grants, clock } = this.#parts;
    const found = grants.lookup(tool);
    if ("problem" in found) return found;
    if (cause !== "local" || !breaker.snapshot.openedLocally) {
      return { problem: "the circuit is not open by this process's own failures" };
    }
    if (this.#denials.unsent) return { problem: "the agent cannot say who it is" };
    if (this.#denials.suspects(digest, clock.monotonic(), found.grant.issuedAt)) {
      return { problem: "the service has denied this request, or this agent" };
    }
    return found;
  }

  async #bypass(
    question: Question,
    permit: Denied,
    grant: GrantClaims,
    { deadlineAt, signal }: GuardCall,
  ): Promise<GuardVerdict> {
    const { journal, clock } = this.#parts;
    const deny = (reason: Reason, why: string): GuardVerdict => this.#deny(question, reason, why, { attempts: 0 });
    using deadline = new Deadline(clock, deadlineAt, { signal });
    const message = `Allowed without the service, by ${excerpt(grant.operator)}'s grant ${grant.grantId}.`;
    const verdict = this.#verdict(question, "CIRCUIT_BYPASS", message);
    failpoint("bypass-granted");
    const recording = journal.recordBypass({
      ...recordOf(question, verdict),
      kind: "bypass_allow",
      reason: "CIRCUIT_BYPASS",
      grantId: grant.grantId,
      attempts: 0,
    });
    const recorded = await deadline.race(
      recording.then(
        () => true,
        () => false,
      ),
    );
    // From here on the record is on disk, or there will be no allow.
    if (recorded.kind !== "done" || deadline.passed)
      return deny("DEADLINE_EXCEEDED", "The journal was not written in time.");
    if (!recorded.value) return deny("CIRCUIT_OPEN", "The circuit is open, and the journal cannot be written.");
    // An fsync takes its time: the grant may have been revoked, the circuit closed, or the request denied meanwhile.
    const subject = subjectOf(question);
    const holds = (): boolean => {
      const still = this.#bypassFor(subject, permit.cause);
      return !("problem" in still) && still.grant.grantId === grant.grantId;
    };
    if (!holds()) return deny("CIRCUIT_OPEN", openMessage(permit));
    const { tool, idempotencyKey } = question;
    this.#bypasses.add(verdict.decisionId, { tool, idempotencyKey, holds });
    failpoint("bypass-recorded");
    return verdict;
  }

  /** What the service has said of this request and of this agent, for a time when it cannot be asked. */
  #remember(question: Question, { final, tookMs }: Asked): void {
    if (final.kind === "cancelled") return;
    const heard = final.kind === "deadline" ? final.heard : final;
    this.#denials.unsent = heard?.kind === "unsent";
    if (heard === null) return;
    const now = this.#parts.clock.monotonic();
    const decidedAt = heard.kind === "answered" ? heard.decidedAt : null;
    const hear = (what: string, isNo: boolean): void => {
      if (isNo) this.#denials.add(what, { heardAt: now, decidedAt });
      else if (heard.kind === "answered")
        this.#denials.remove(what, { decidedAt, replayed: heard.verdict.replayed, askedAt: now - tookMs });
    };
    hear(EVERY_REQUEST, refusesAgent(heard));
    hear(requestDigest(question), saysNo(heard));
  }

  #verdictOf(question: Question, { final, attempts }: Asked): GuardVerdict {
    if (final.kind === "answered") {
      const { decisionId } = final.verdict;
      if (this.#parts.starts.isUsed && isAllow(final.verdict.decision))
        this.#keys.add(decisionId, question.idempotencyKey);
      return final.verdict;
    }
    const { reason, message, refusal } = noAnswerOf(final);
    return this.#deny(question, reason, message, { attempts, refusal: refusal ?? undefined });
  }

  /** What the service has said to a start: a freeze, or a credential that it does not accept, is a no to whatever the agent asks. */
  #hearStart(final: Attempted<AnsweredStart> | { readonly kind: "cancelled" }): void {
    if (final.kind === "cancelled") return;
    const heard = final.kind === "deadline" ? final.heard : final;
    this.#denials.unsent = heard?.kind === "unsent";
    const isFrozen =
      heard?.kind === "answered" && heard.start.state === "refused" && heard.start.reason === "AGENT_FROZEN";
    if (isFrozen || (heard?.kind === "refused" && heard.ofAgent))
      this.#denials.add(EVERY_REQUEST, { heardAt: this.#parts.clock.monotonic(), decidedAt: null });
  }

  /** A deny of the guard's own, into the journal too. */
  #deny(
    question: Question,
    reason: Reason,
    message: string,
    { attempts, refusal }: { readonly attempts: number; readonly refusal?: Refusal | undefined },
  ): GuardVerdict {
    const verdict = this.#verdict(question, reason, message, refusal);
    const { breaker, journal } = this.#parts;
    journal.recordDeny(() => {
      return { ...recordOf(question, verdict), kind: "deny", reason, attempts, errors: breaker.snapshot.lastErrors };
    });
    return verdict;
  }

  #verdict({ tool, idempotencyKey }: Question, reason: Reason, message: string, refusal?: Refusal): GuardVerdict {
    return guardVerdict(this.#parts, reason, message, { tool, idempotencyKey, refusal: refusal ?? null });
  }

  /** For a request that breaks the contract, and for a bug of the guard. */
  #invalid(error: unknown): GuardVerdict {
    return guardVerdict(this.#parts, "REQUEST_REFUSED", faultMessage(error), { refusal: NOT_A_REQUEST });
  }
}

/** What the journal keeps of a verdict, whatever its kind. Its layout has no principal, and its digest covers none. */
function recordOf(question: Question, { decisionId, message, decidedAt }: GuardVerdict) {
  const { agentId, tool, idempotencyKey, canonicalPayload } = question;
  const digest = requestDigest({ agentId, tool, canonicalPayload, principal: null });
  return { decisionId, agentId, tool, idempotencyKey, message, decidedAt, requestDigest: digest };
}

/** What a bypass is about, without the payload. */
interface Subject {
  readonly tool: string;
  readonly digest: string;
}

function subjectOf(question: Question): Subject {
  return { tool: question.tool, digest: requestDigest(question) };
}

type Denied = Extract<Permit, { kind: "denied" }>;

function saysNo(heard: Outcome): boolean {
  switch (heard.kind) {
    case "answered":
      return !isAllow(heard.verdict.decision);
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
  return heard.kind === "answered"
    ? heard.verdict.reason === "AGENT_FROZEN"
    : heard.kind === "refused" && heard.ofAgent;
}

function openMessage({ cause, retryInMs }: Denied): string {
  const why = {
    local: "after repeated failures of the service",
    shared: "because other processes reported failures",
    forced: "by an operator's command",
  }[cause];
  return `The circuit is open ${why}; the next try may be in ${Math.ceil(retryInMs / 1000)} s.`;
}

/** Why a request cannot be asked, for its caller. */
function faultMessage(error: unknown): string {
  try {
    if (error instanceof Fault) return error.message;
  } catch {
    // A request's getter may throw anything, also a Proxy that throws when it is looked at.
  }
  return "The request could not be read.";
}
