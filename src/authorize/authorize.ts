import { digestPayload, hashDecision } from "../audit/hash.ts";
import type { DecisionRow } from "../audit/record.ts";
import type { Entry, Written } from "../audit/writer.ts";
import type { AgentState, AuthenticatedAgent } from "../authn/directory.ts";
import type { Micros } from "../clock.ts";
import { DECISION_OF, type Judgement, judge } from "../decision.ts";
import { failpoint } from "../failpoint.ts";
import { Fault } from "../fault.ts";
import { type Deadline, Flights } from "../idempotency/flights.ts";
import { type DigestKeys, digestRequest, flightName, sameDigest } from "../idempotency/key.ts";
import { type Claim, type ClaimCache, FIRST, type Ledger, type Variant } from "../idempotency/ledger.ts";
import { type RandomPool, uuidV7 } from "../ids.ts";
import type { PolicyInput } from "../policy/bundle.ts";
import type { Answer, AuthorizeHandler, Call } from "./call.ts";
import { parseRequest, type Question } from "./request.ts";

/** Everything that a decision needs from the rest of the house. */
export interface AuthorizePorts {
  readonly directory: {
    authenticate(authorization: string | undefined): Promise<AuthenticatedAgent>;
    stateOf(agentId: string): AgentState;
    /** @throws Fault STORE_UNAVAILABLE */
    confirmedStateOf(agentId: string): Promise<AgentState>;
  };
  /** @throws Fault RATE_LIMITED or SHUTTING_DOWN */
  readonly admit: (agentId: string) => void;
  readonly cache: ClaimCache;
  readonly ledger: Ledger;
  readonly policy: () => { readonly version: string; evaluate(input: PolicyInput): Judgement };
  readonly writer: { record(entry: Entry, deadline: Deadline): Promise<Written | null> };
  readonly keys: DigestKeys;
  readonly random: RandomPool;
  /** The store's time, as good as this process knows it. */
  readonly now: () => Micros;
  readonly monotonic: () => number;
  readonly observe: AuthorizeObserver;
}

export type Step = "authenticate" | "parse" | "replay" | "evaluate" | "record" | "remember";

/** Told about each request; called synchronously, so it must be cheap. */
export interface AuthorizeObserver {
  step(step: Step, milliseconds: number): void;
  answered(answer: Answer): void;
  refused(fault: Fault, agentId: string | null, call: Call): void;
}

/** What a flight yields: all that an answer says except what is the caller's own. */
interface Settled {
  readonly claim: Omit<Claim, "expiresAt" | "requestDigest">;
  readonly replayed: boolean;
}

/** A question with all that is derived from it before anything is decided. */
interface Request extends Question {
  readonly credentialId: string;
  readonly requestDigest: Buffer;
  readonly traceId: string | null;
  /** Grows while others join in asking. */
  readonly deadline: Deadline;
}

/** How often a claim is tried that is lost, and then not found: it expires or is purged in between. */
const CLAIM_TRIES = 3;

/**
 * Authorize: `authenticate → parse → replay? → evaluate → record → remember → answer`.
 *
 * What is answered is either a decision whose audit row is committed, or a {@link Fault}.
 */
export function createAuthorize(ports: AuthorizePorts): AuthorizeHandler {
  const flights = new Flights<Settled>();

  return async function authorize(call: Call): Promise<Answer> {
    let agent: AuthenticatedAgent | null = null;
    try {
      const watch = new Stopwatch(ports);
      agent = await ports.directory.authenticate(call.authorization);
      ports.admit(agent.agentId);
      watch.lap("authenticate");
      failpoint("authenticated");
      if (call.deadlineAt <= ports.monotonic())
        throw new Fault("DEADLINE_EXCEEDED", "The deadline had passed already.");

      const untrusted = call.readBody();
      const question = parseRequest(untrusted, agent.agentId);
      const requestDigest = digestRequest(ports.keys, question.agentId, question.tool, question.canonicalPayload);
      watch.lap("parse");
      failpoint("parsed");

      const flight = flightName(question.agentId, question.idempotencyKey, requestDigest);
      const { joined, result } = flights.share(flight, call.deadlineAt, (deadline) =>
        settle(
          ports,
          { ...question, credentialId: keyIdOf(agent), requestDigest, traceId: traceIdOf(call), deadline },
          watch,
        ),
      );
      const settled = await beforeDeadline(result, call, ports.monotonic);

      const answer = answerTo(question, settled, joined, untrusted.nonce);
      ports.observe.answered(answer);
      failpoint("before-answer");
      return answer;
    } catch (error) {
      const fault = Fault.from(error);
      ports.observe.refused(fault, agent?.agentId ?? null, call);
      throw fault;
    }
  };
}

/** `replay? → evaluate → record → remember`, once for all who ask the same at the same time. */
async function settle(ports: AuthorizePorts, request: Request, watch: Stopwatch): Promise<Settled> {
  const remembered = await ports.cache.get(request.agentId, request.idempotencyKey);
  watch.lap("replay");
  failpoint("looked-up");

  if (remembered !== null) return await replay(ports, request, remembered);
  // No claim is made for a frozen agent, so that the key is still free when it is not frozen any more.
  if ((await ports.directory.confirmedStateOf(request.agentId)) !== "active")
    return await denyFrozen(ports, request, null);

  const policy = ports.policy();
  const judgement = policy.evaluate({ agentId: request.agentId, tool: request.tool, payload: request.payload });
  watch.lap("evaluate");
  failpoint("evaluated");

  for (let attempt = 1; attempt <= CLAIM_TRIES; attempt++) {
    const recorded = await record(ports, request, judgement, { policyVersion: policy.version, variant: FIRST });
    watch.lap("record");
    if (recorded !== null) return { claim: recorded, replayed: false };
    const winner = await ports.ledger.findClaim(request.agentId, request.idempotencyKey, FIRST);
    if (winner !== null) {
      remember(ports, request, winner);
      return await replay(ports, request, winner);
    }
  }
  throw new Fault("STORE_UNAVAILABLE", "The idempotency key's claim changed too often to be read.", {
    retryAfterMs: 100,
  });
}

/** The key was used before: the same request gets the same answer, another one a deny. */
async function replay(ports: AuthorizePorts, request: Request, first: Claim): Promise<Settled> {
  if (!sameDigest(first.requestDigest, request.requestDigest)) return await denyReuse(ports, request, first);
  // A remembered deny needs nobody's confirmation; anything else needs to know that the agent was not frozen since.
  if (DECISION_OF[first.reason] === "deny") {
    if (ports.directory.stateOf(request.agentId) !== "frozen") return { claim: first, replayed: true };
    return await denyFrozen(ports, request, first);
  }
  const state = await ports.directory.confirmedStateOf(request.agentId);
  return state === "active" ? { claim: first, replayed: true } : await denyFrozen(ports, request, first);
}

/** The key belongs to another request. The deny claims a variant of the key, so that its retries get its own id back. */
async function denyReuse(ports: AuthorizePorts, request: Request, first: Claim): Promise<Settled> {
  const judgement = judge(
    "IDEMPOTENCY_KEY_REUSED",
    "The idempotency key was used before with another tool or payload.",
  );
  const claimed = { policyVersion: first.policyVersion, variant: request.requestDigest, linkedTo: first.decisionId };
  for (let attempt = 1; attempt <= CLAIM_TRIES; attempt++) {
    const recorded = await record(ports, request, judgement, claimed);
    if (recorded !== null) return { claim: recorded, replayed: false };
    const earlier = await ports.ledger.findClaim(request.agentId, request.idempotencyKey, request.requestDigest);
    if (earlier !== null) return { claim: earlier, replayed: true };
  }
  throw new Fault("STORE_UNAVAILABLE", "The idempotency key's claim changed too often to be read.", {
    retryAfterMs: 100,
  });
}

async function denyFrozen(ports: AuthorizePorts, request: Request, first: Claim | null): Promise<Settled> {
  const known = first ?? (await ports.ledger.findClaim(request.agentId, request.idempotencyKey, FIRST));
  const linked = known === null ? {} : { linkedTo: known.decisionId };
  const judgement = judge("AGENT_FROZEN", `The agent ${request.agentId} is frozen.`);
  const recorded = await record(ports, request, judgement, {
    policyVersion: ports.policy().version,
    variant: null,
    ...linked,
  });
  // A row without a claim has nothing to lose a race for.
  if (recorded === null) throw new Fault("INTERNAL", "The decision could not be recorded.");
  return { claim: recorded, replayed: false };
}

/**
 * Writes the decision's row and resolves when it is committed; null if another decision holds the claim. A decision that
 * made the key's first claim is remembered.
 */
async function record(
  ports: AuthorizePorts,
  request: Request,
  judgement: Judgement,
  how: { readonly policyVersion: string; readonly variant: Variant | null; readonly linkedTo?: string },
): Promise<Claim | null> {
  const salt = ports.random.take(16);
  const at = ports.now();
  const row: DecisionRow = {
    decisionId: uuidV7(at, ports.random),
    recordedAt: at,
    source: "service",
    agentId: request.agentId,
    credentialId: request.credentialId,
    tool: request.tool,
    idempotencyKey: request.idempotencyKey,
    ...judgement,
    policyVersion: how.policyVersion,
    requestDigest: request.requestDigest,
    payloadDigest: digestPayload(salt, request.canonicalPayload),
    decidedAt: at,
    linkedDecisionId: how.linkedTo ?? null,
    reviewId: null,
    grantId: null,
    guardJournalId: null,
    guardSequence: null,
    guardRecordHash: null,
    traceId: request.traceId,
    detail: null,
  };
  const entry: Entry = {
    row,
    hash: hashDecision(row),
    payload: { salt, canonical: request.canonicalPayload },
    claim: how.variant === null ? null : { variant: how.variant },
  };
  failpoint("before-commit");
  const written = await ports.writer.record(entry, request.deadline);
  failpoint("after-commit");
  // INVARIANT: from here on the row is durable. A crash loses the answer, and the retry finds the claim.
  if (written === null) return null;
  const claim: Claim = {
    ...judgement,
    ...pick(row),
    policyVersion: how.policyVersion,
    expiresAt: written.claimExpiresAt ?? 0,
  };
  failpoint("recorded");
  if (how.variant === FIRST) remember(ports, request, claim);
  failpoint("remembered");
  return claim;
}

function pick(row: DecisionRow): { decisionId: string; decidedAt: Micros; requestDigest: Uint8Array } {
  return { decisionId: row.decisionId, decidedAt: row.decidedAt, requestDigest: row.requestDigest as Uint8Array };
}

/** Only policy outcomes that cannot change any more are remembered: a review will be resolved. */
function remember(ports: AuthorizePorts, request: Request, claim: Claim): void {
  if (DECISION_OF[claim.reason] !== "needs_review") ports.cache.set(request.agentId, request.idempotencyKey, claim);
}

function answerTo(question: Question, { claim, replayed }: Settled, joined: boolean, nonce: Uint8Array): Answer {
  return {
    decision: DECISION_OF[claim.reason],
    reason: claim.reason,
    message: claim.message,
    decisionId: claim.decisionId,
    policyVersion: claim.policyVersion,
    ruleId: claim.ruleId,
    replayed: replayed || joined,
    decidedAt: claim.decidedAt,
    agentId: question.agentId,
    tool: question.tool,
    idempotencyKey: question.idempotencyKey,
    nonce,
  };
}

/** The service answers a little before the caller gives up, so that the caller learns why. */
const ANSWER_MARGIN_MS = 50;

function beforeDeadline<T>(work: Promise<T>, call: Call, monotonic: () => number): Promise<T> {
  const left = call.deadlineAt - monotonic();
  const wait = left - Math.min(ANSWER_MARGIN_MS, left / 10);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Fault("STORE_UNAVAILABLE", "The decision could not be recorded in time, so it is not answered."));
    }, wait);
    const settle = <Outcome>(done: (outcome: Outcome) => void) => {
      return (outcome: Outcome): void => {
        clearTimeout(timer);
        done(outcome);
      };
    };
    work.then(settle(resolve), settle(reject));
  });
}

function keyIdOf(agent: AuthenticatedAgent | null): string {
  return agent?.keyId ?? "";
}

/** The trace id of a W3C `traceparent`, or null if there is none that is well-formed. */
function traceIdOf(call: Call): string | null {
  return /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(call.traceparent ?? "")?.[1] ?? null;
}

/** Measures one request's steps, one after the other. */
class Stopwatch {
  readonly #ports: Pick<AuthorizePorts, "monotonic" | "observe">;
  #last: number;

  constructor(ports: Pick<AuthorizePorts, "monotonic" | "observe">) {
    this.#ports = ports;
    this.#last = ports.monotonic();
  }

  lap(step: Step): void {
    const now = this.#ports.monotonic();
    this.#ports.observe.step(step, now - this.#last);
    this.#last = now;
  }
}
