import type { Entry, Written } from "../audit/writer.ts";
import type { AgentState, AuthenticatedAgent } from "../authn/directory.ts";
import type { Micros } from "../clock.ts";
import { DECISION_OF, type Judgement, judge } from "../decision.ts";
import { failpoint } from "../failpoint.ts";
import { Fault } from "../fault.ts";
import { type Deadline, Flights } from "../idempotency/flights.ts";
import { type DigestKeys, digestRequest, flightName, sameDigest } from "../idempotency/key.ts";
import {
  type Claim,
  type ClaimCache,
  type ClaimSlot,
  FIRST,
  type Ledger,
  type Variant,
} from "../idempotency/ledger.ts";
import type { RandomPool } from "../ids.ts";
import type { PolicyInput } from "../policy/bundle.ts";
import type { Redaction } from "../policy/redaction.ts";
import { type Answer, answerTo, type AuthorizeHandler, type Call, traceIdOf } from "./call.ts";
import { type Asked, claimOf, makeEntry, type Terms } from "./entry.ts";
import { type FramePorts, frameUnary } from "./frame.ts";
import { recordFrozen } from "./frozen.ts";
import { PayloadBudget } from "./payload-budget.ts";
import { parseRequest, type UnverifiedRequest } from "./request.ts";
import { type StepObserver, Stopwatch } from "./stopwatch.ts";

/** Everything that a decision needs from the rest of the service. */
export interface AuthorizePorts extends FramePorts {
  readonly agents: FramePorts["agents"] & {
    stateOf(agentId: string): AgentState;
    /** @throws Fault STORE_UNAVAILABLE */
    confirmedStateOf(agentId: string): Promise<AgentState>;
  };
  /** @throws Fault RATE_LIMITED or SHUTTING_DOWN */
  readonly admit: (agentId: string) => void;
  readonly cache: ClaimCache;
  readonly ledger: Ledger;
  readonly policy: () => {
    readonly version: string;
    readonly redaction: Redaction;
    evaluate(input: PolicyInput): Judgement;
  };
  /** The claim of a decision that needs a review, as the review stands now. */
  readonly reviews: { current(first: Claim, policyVersion: string): Promise<Claim> };
  readonly writer: { record(entry: Entry, deadline: Deadline): Promise<Written | null> };
  readonly keys: DigestKeys;
  readonly random: RandomPool;
  /** The store's time, as good as this process knows it. */
  readonly now: () => Micros;
  /** Called synchronously for each request, so it must be cheap. */
  readonly observe: StepObserver;
  readonly answered: (answer: Answer) => void;
}

/** What a flight yields: all that an answer says except what is the caller's own. */
interface Settled {
  readonly claim: Omit<Claim, "expiresAt" | "requestDigest">;
  readonly replayed: boolean;
}

/** A question with all that is derived from it before anything is decided. */
interface Request extends Asked {
  /** Where its key's first claim is remembered. */
  readonly slot: ClaimSlot;
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
  const payloads = new PayloadBudget();

  return frameUnary(ports, { method: "Authorize", admit: ports.admit, handle: authorize });

  async function authorize(
    call: Call<UnverifiedRequest>,
    agent: AuthenticatedAgent,
    startedAt: number,
  ): Promise<Answer> {
    const watch = new Stopwatch(startedAt, ports.monotonic, ports.observe);
    watch.lap("authenticate");
    failpoint("authenticated");

    const untrusted = call.readBody();
    const question = parseRequest(untrusted, agent.agentId);
    const requestDigest = digestRequest(ports.keys, question.agentId, question.tool, question.canonicalPayload);
    watch.lap("parse");
    failpoint("parsed");

    const flight = flightName(question.agentId, question.idempotencyKey, requestDigest);
    const asked = { ...question, credentialId: agent.keyId, requestDigest, traceId: traceIdOf(call.traceparent) };
    const held = question.canonicalPayload.length;
    payloads.hold(question.agentId, held);
    const { joined, result } = flights.share(flight, call.deadlineAt, (deadline) => {
      const slot = ports.cache.at(question.agentId, question.idempotencyKey);
      return settle(ports, { ...asked, slot, deadline }, watch);
    });
    // Not when the caller is answered: what it asked may wait longer than the caller.
    const release = (): void => payloads.release(question.agentId, held);
    result.then(release, release);
    const settled = await beforeDeadline(result, call, ports.monotonic);

    const { agentId, tool, idempotencyKey } = question;
    const echoed = { agentId, tool, idempotencyKey, nonce: untrusted.nonce };
    const answer = answerTo(echoed, settled.claim, settled.replayed || joined);
    ports.answered(answer);
    failpoint("before-answer");
    return answer;
  }
}

/** `replay? → evaluate → record → remember`, once for all who ask the same at the same time. */
async function settle(ports: AuthorizePorts, request: Request, watch: Stopwatch): Promise<Settled> {
  const remembered = await request.slot.get();
  watch.lap("replay");
  failpoint("looked-up");

  if (remembered !== null) return await replay(ports, request, remembered);
  // No claim is made for a frozen agent, so that the key is still free when it is not frozen any more.
  if ((await ports.agents.confirmedStateOf(request.agentId)) !== "active")
    return await denyFrozen(ports, request, null);

  const policy = ports.policy();
  const judgement = policy.evaluate({ agentId: request.agentId, tool: request.tool, payload: request.payload });
  watch.lap("evaluate");
  failpoint("evaluated");

  const { claim, replayed } = await claimOnce(ports, request, judgement, {
    policyVersion: policy.version,
    redaction: policy.redaction,
    variant: FIRST,
  });
  watch.lap("record");
  failpoint("recorded");

  remember(request.slot, claim);
  watch.lap("remember");
  failpoint("remembered");
  return replayed ? await replay(ports, request, claim) : { claim, replayed };
}

/** The key was used before: the same request gets the same answer, another one a deny. */
async function replay(ports: AuthorizePorts, request: Request, first: Claim): Promise<Settled> {
  if (!sameDigest(first.requestDigest, request.requestDigest)) return await denyReuse(ports, request, first);
  // A remembered deny needs nobody's confirmation; anything else needs to know that the agent was not frozen since.
  if (DECISION_OF[first.reason] === "deny") {
    if (ports.agents.stateOf(request.agentId) !== "frozen") return { claim: first, replayed: true };
    return await denyFrozen(ports, request, first);
  }
  // Whatever was approved: a frozen agent is denied.
  const state = await ports.agents.confirmedStateOf(request.agentId);
  if (state !== "active") return await denyFrozen(ports, request, first);
  const claim = first.reason === "REVIEW_PENDING" ? ports.reviews.current(first, ports.policy().version) : first;
  return { claim: await claim, replayed: true };
}

/** The key belongs to another request. The deny claims a variant of the key, so that its retries get its own id back. */
async function denyReuse(ports: AuthorizePorts, request: Request, first: Claim): Promise<Settled> {
  const judgement = judge(
    "IDEMPOTENCY_KEY_REUSED",
    "The idempotency key was used before with another tool or payload.",
  );
  return await claimOnce(ports, request, judgement, {
    policyVersion: first.policyVersion,
    redaction: ports.policy().redaction,
    variant: request.requestDigest,
    linkedTo: first.decisionId,
  });
}

/** The deny claims nothing, so that the key is what it was when the agent is not frozen any more. */
async function denyFrozen(ports: AuthorizePorts, request: Request, first: Claim | null): Promise<Settled> {
  const known = first ?? (await ports.ledger.findClaim(request.agentId, request.idempotencyKey, FIRST));
  const linked = known === null ? {} : { linkedTo: known.decisionId };
  const { version: policyVersion, redaction } = ports.policy();
  const terms = { policyVersion, redaction, variant: null, ...linked };
  const entryOf = (judgement: Judgement): Entry => makeEntry(request, judgement, terms, ports);
  const entry = await recordFrozen(ports.writer, request.agentId, entryOf, request.deadline);
  return { claim: claimOf(entry, { claimExpiresAt: null }), replayed: false };
}

/** Records a judgement that claims a variant of the key, or finds the claim of the decision that did so before. */
async function claimOnce(
  ports: AuthorizePorts,
  request: Request,
  judgement: Judgement,
  terms: Terms & { readonly variant: Variant },
): Promise<{ readonly claim: Claim; readonly replayed: boolean }> {
  for (let attempt = 1; attempt <= CLAIM_TRIES; attempt++) {
    const recorded = await record(ports, request, judgement, terms);
    if (recorded !== null) return { claim: recorded, replayed: false };
    const earlier = await ports.ledger.findClaim(request.agentId, request.idempotencyKey, terms.variant);
    if (earlier !== null) return { claim: earlier, replayed: true };
  }
  throw new Fault("STORE_UNAVAILABLE", "The idempotency key's claim changed too often to be read.", {
    retryAfterMs: 100,
  });
}

/** Writes the judgement's row and resolves when it is committed; null if another decision holds the claim. */
async function record(
  ports: AuthorizePorts,
  request: Request,
  judgement: Judgement,
  terms: Terms,
): Promise<Claim | null> {
  const entry = makeEntry(request, judgement, terms, ports);
  failpoint("before-commit");
  const written = await ports.writer.record(entry, request.deadline);
  failpoint("after-commit");
  // INVARIANT: from here on the row is durable. A crash loses the answer, and the retry finds the claim.
  return written === null ? null : claimOf(entry, written);
}

/** Only policy outcomes that cannot change any more are remembered: a review will be resolved. */
function remember(slot: ClaimSlot, claim: Claim): void {
  if (DECISION_OF[claim.reason] !== "needs_review") slot.set(claim);
}

/** The service answers a little before the caller gives up, so that the caller learns why. */
const ANSWER_MARGIN_MS = 50;

function beforeDeadline<T>(work: Promise<T>, call: Call<unknown>, monotonic: () => number): Promise<T> {
  const left = call.deadlineAt - monotonic();
  const wait = left - Math.min(ANSWER_MARGIN_MS, left / 10);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(
        new Fault("DEADLINE_EXCEEDED", "The decision was not recorded before the deadline, so it is not answered."),
      );
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
