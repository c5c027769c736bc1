import type { Entry, Written } from "../audit/write/writer.ts";
import type { DecisionRow } from "../audit/row/record.ts";
import type { AgentState, AuthenticatedAgent } from "../authn/directory.ts";
import type { Micros } from "../core/clock.ts";
import { Deadline } from "../core/deadline.ts";
import { DECISION_OF, type Judgement, judge } from "../core/decision.ts";
import { failpoint } from "../core/failpoint.ts";
import { Fault } from "../core/fault.ts";
import { Quota } from "../core/quota.ts";
import { Flights, type SharedDeadline } from "../idempotency/flights.ts";
import { type DigestKeys, digestRequest, flightName, sameDigest } from "../idempotency/key.ts";
import {
  type ClaimCache,
  type ClaimSlot,
  FIRST,
  isClaim,
  type Ledger,
  type RecordedDecision,
  type Variant,
} from "../idempotency/ledger.ts";
import type { RandomPool } from "../core/ids.ts";
import type { PolicyInput } from "../policy/bundle.ts";
import type { Redaction } from "../policy/redaction.ts";
import { type Answer, answerTo, type AuthorizeHandler, type Call, traceIdOf } from "./call.ts";
import { type AuthorizeRequest, decisionOf, makeEntry } from "./entry.ts";
import { type FramePorts, frameUnary } from "./frame.ts";
import { recordFrozen } from "./frozen.ts";
import { Progress, type StepObserver } from "./progress.ts";
import { parseRequest, type UnverifiedRequest } from "../core/request.ts";

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
  /** A decision that needs a review, as the review stands now. */
  readonly reviews: { current(first: RecordedDecision, policyVersion: string): Promise<RecordedDecision> };
  readonly writer: { record(entry: Entry, deadline: SharedDeadline): Promise<Written | null> };
  /** What this process allows, for a start that follows. */
  readonly recent: { note(row: DecisionRow, expiresAt: Micros): void };
  readonly keys: DigestKeys;
  readonly random: RandomPool;
  /** The store's time, as good as this process knows it. */
  readonly now: () => Micros;
  /** Called synchronously for each request, so it must be cheap. */
  readonly observe: StepObserver;
  /** @param milliseconds since the call arrived */
  readonly answered: (answer: Answer, milliseconds: number) => void;
}

/**
 * Canonical JSON of requests that are under way. Parsed, a payload takes up to 22 times the room of its text (a list of empty objects
 * does): 350 MiB at the worst. How many requests wait says nothing about that: their sizes differ ten-thousandfold.
 */
const PAYLOAD_CHARACTERS = { total: 16 * 1024 * 1024, perOwner: 4 * 1024 * 1024 };

/** How often recording is tried: another request may hold the claim and then, when it is looked up, be gone (expired or purged). */
const CLAIM_TRIES = 3;

/**
 * Authorize: `authenticate → parse → replay? → evaluate → record → remember → answer`.
 *
 * What is answered is either a decision whose audit row is committed, or a {@link Fault}.
 */
export function createAuthorize(ports: AuthorizePorts): AuthorizeHandler {
  const flights = new Flights<Answer>();
  const payloads = new Quota(PAYLOAD_CHARACTERS, () => {
    return new Fault("QUEUE_FULL", "Too many large payloads wait to be decided.", { retryAfterMs: 100 });
  });

  // The frame authenticates and admits, and turns what is thrown into a fault.
  return frameUnary(ports, { method: "Authorize", admit: ports.admit, handle: authorize });

  async function authorize(
    call: Call<UnverifiedRequest>,
    agent: AuthenticatedAgent,
    startedAt: number,
  ): Promise<Answer> {
    const progress = new Progress(startedAt, ports.monotonic, ports.observe);
    progress.mark("authenticated");

    const request = parse(call, agent, ports.keys);
    progress.mark("parsed");

    const answer = await decideOnce(request, call, progress);
    ports.answered(answer, ports.monotonic() - startedAt);
    failpoint("before-answer");
    return answer;
  }

  /** Decides once for all who ask the same at the same time; each of them waits until its own deadline. */
  function decideOnce(request: AuthorizeRequest, call: Call<unknown>, progress: Progress): Promise<Answer> {
    const { agentId, idempotencyKey, requestDigest, nonce } = request;
    const size = request.canonicalPayload.length;
    payloads.hold(agentId, size);
    const name = flightName(agentId, idempotencyKey, requestDigest);
    const { joined, result } = flights.share(name, call.deadlineAt, (deadline) =>
      decide(ports, request, deadline, progress),
    );
    // The payload is released when the work ends, not when the caller's time does: the work may go on.
    const release = (): void => payloads.release(agentId, size);
    result.then(release, release);
    const answer = beforeDeadline(result, call.deadlineAt, ports.monotonic);
    return joined ? answer.then((shared) => ({ ...shared, replayed: true, nonce })) : answer;
  }
}

function parse(call: Call<UnverifiedRequest>, agent: AuthenticatedAgent, keys: DigestKeys): AuthorizeRequest {
  const unverified = call.readBody();
  const question = parseRequest(unverified, agent.agentId, agent.principal ?? null);
  return {
    agentId: question.agentId,
    tool: question.tool,
    payload: question.payload,
    canonicalPayload: question.canonicalPayload,
    idempotencyKey: question.idempotencyKey,
    principal: question.principal,
    sessionId: question.sessionId,
    nonce: unverified.nonce,
    credentialId: agent.keyId,
    requestDigest: digestRequest(keys, question),
    traceId: traceIdOf(call.traceparent),
  };
}

/** `replay? → evaluate → record → remember`. @param deadline grows while others join in asking */
async function decide(
  ports: AuthorizePorts,
  request: AuthorizeRequest,
  deadline: SharedDeadline,
  progress: Progress,
): Promise<Answer> {
  const slot = ports.cache.at(request.agentId, request.idempotencyKey);
  const remembered = await slot.get();
  progress.mark("looked-up");
  if (remembered !== null) return await replay(ports, request, deadline, remembered);

  // No claim is made for a frozen agent, so that the key is still free when it is not frozen any more.
  if ((await ports.agents.confirmedStateOf(request.agentId)) !== "active")
    return await denyFrozen(ports, request, deadline, null);

  const policy = ports.policy();
  const judgement = policy.evaluate(request);
  progress.mark("evaluated");

  const entry = makeEntry(request, judgement, { policy, variant: FIRST, linkedTo: null }, ports);
  const decision = await record(ports, request, deadline, entry, FIRST);
  progress.mark("recorded");

  remember(slot, decision);
  if (decision.decisionId !== entry.row.decisionId) {
    progress.mark("remembered");
    return await replay(ports, request, deadline, decision);
  }
  if (DECISION_OF[decision.reason] === "allow" && isClaim(decision)) ports.recent.note(entry.row, decision.expiresAt);
  progress.mark("remembered");
  return answerTo(request, decision, false);
}

/** The key was used before: the same request gets the same answer, another one a deny. */
async function replay(
  ports: AuthorizePorts,
  request: AuthorizeRequest,
  deadline: SharedDeadline,
  first: RecordedDecision,
): Promise<Answer> {
  if (!sameDigest(first.requestDigest, request.requestDigest)) return await denyReuse(ports, request, deadline, first);
  // A remembered deny needs nobody's confirmation; anything else needs to know that the agent was not frozen since.
  const isDeny = DECISION_OF[first.reason] === "deny";
  const isFrozen = isDeny
    ? ports.agents.stateOf(request.agentId) === "frozen"
    : (await ports.agents.confirmedStateOf(request.agentId)) !== "active";
  if (isFrozen) return await denyFrozen(ports, request, deadline, first);
  if (first.reason !== "REVIEW_PENDING") return answerTo(request, first, true);
  return answerTo(request, await ports.reviews.current(first, ports.policy().version), true);
}

/** The key belongs to another request. The deny claims a variant of the key, so that its retries get its own id back. */
async function denyReuse(
  ports: AuthorizePorts,
  request: AuthorizeRequest,
  deadline: SharedDeadline,
  first: RecordedDecision,
): Promise<Answer> {
  const judgement = judge(
    "IDEMPOTENCY_KEY_REUSED",
    "The idempotency key was used before with another tool, payload or principal.",
  );
  const policy = { version: first.policyVersion, redaction: ports.policy().redaction };
  const variant = request.requestDigest;
  const entry = makeEntry(request, judgement, { policy, variant, linkedTo: first.decisionId }, ports);
  const decision = await record(ports, request, deadline, entry, variant);
  return answerTo(request, decision, decision.decisionId !== entry.row.decisionId);
}

/** The deny claims nothing, so that the key is what it was when the agent is not frozen any more. */
async function denyFrozen(
  ports: AuthorizePorts,
  request: AuthorizeRequest,
  deadline: SharedDeadline,
  first: RecordedDecision | null,
): Promise<Answer> {
  const known = first ?? (await ports.ledger.findClaim(request.agentId, request.idempotencyKey, FIRST));
  const options = { policy: ports.policy(), variant: null, linkedTo: known?.decisionId ?? null };
  const entryOf = (judgement: Judgement): Entry => makeEntry(request, judgement, options, ports);
  const entry = await recordFrozen(ports.writer, request.agentId, entryOf, deadline);
  return answerTo(request, decisionOf(entry, request.requestDigest, null), false);
}

/** Writes the entry's row, and resolves when it is committed; or finds the decision that holds its claim, which has another id. */
async function record(
  ports: AuthorizePorts,
  request: AuthorizeRequest,
  deadline: SharedDeadline,
  entry: Entry,
  variant: Variant,
): Promise<RecordedDecision> {
  for (let attempt = 1; attempt <= CLAIM_TRIES; attempt++) {
    failpoint("before-commit");
    const written = await ports.writer.record(entry, deadline);
    failpoint("after-commit");
    // INVARIANT: from here on the row is durable. A crash loses the answer, and the retry finds the claim.
    if (written !== null) return decisionOf(entry, request.requestDigest, written.claimExpiresAt);
    const holder = await ports.ledger.findClaim(request.agentId, request.idempotencyKey, variant);
    if (holder !== null) return holder;
  }
  throw new Fault("STORE_UNAVAILABLE", "The idempotency key's claim changed too often to be read.", {
    retryAfterMs: 100,
  });
}

/** Only policy outcomes that cannot change any more are remembered: a review will be resolved. */
function remember(slot: ClaimSlot, decision: RecordedDecision): void {
  if (DECISION_OF[decision.reason] !== "needs_review" && isClaim(decision)) slot.set(decision);
}

/** The service answers a little before the caller gives up, so that the caller learns why. */
const ANSWER_MARGIN_MS = 50;

async function beforeDeadline<T>(work: Promise<T>, deadlineAt: number, monotonic: () => number): Promise<T> {
  const left = deadlineAt - monotonic();
  const deadline = new Deadline({ monotonic }, deadlineAt - Math.min(ANSWER_MARGIN_MS, left / 10));
  // Not `using`: for Node 22 it is compiled to code that costs each decision half a kilobyte.
  const ended = await deadline.race(work).finally(() => deadline[Symbol.dispose]());
  if (ended.kind === "done") return ended.value;
  throw new Fault("DEADLINE_EXCEEDED", "The decision was not recorded before the deadline, so it is not answered.");
}
