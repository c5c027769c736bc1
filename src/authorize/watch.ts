import { makeFollowUp } from "../audit/follow-up.ts";
import type { Entry, Written } from "../audit/writer.ts";
import type { Credentials } from "../authn/agents.ts";
import type { AgentState, AuthenticatedAgent } from "../authn/directory.ts";
import type { Micros } from "../clock.ts";
import { DECISION_OF, judge } from "../decision.ts";
import { Fault } from "../fault.ts";
import type { Claim } from "../idempotency/ledger.ts";
import type { RandomPool } from "../ids.ts";
import type { Answer } from "./call.ts";
import { LIMITS } from "./request.ts";
import type { Watchers } from "./watchers.ts";

/** One attempt to watch a decision, as a road hands it over. Nothing in it has been verified. */
export interface WatchCall extends Credentials {
  /** Decodes the body. Throws a Fault. Called once, after the credential has been verified. */
  readonly readBody: () => { readonly decisionId: string; readonly nonce: Uint8Array };
  /** When the caller stops waiting, on the monotonic clock, in milliseconds. */
  readonly deadlineAt: number;
  /** Aborted when the caller goes away, or the service stops. */
  readonly signal: AbortSignal;
}

/** Yields the current answer, and the one that ends the watching. Rejects with a {@link Fault} alone. */
export type WatchHandler = (call: WatchCall) => AsyncGenerator<Answer, void, undefined>;

/** A claim with what it is about. */
export interface WatchedClaim extends Claim {
  readonly tool: string;
  readonly idempotencyKey: string;
}

export interface WatchPorts {
  readonly directory: {
    authenticate(credentials: Credentials): Promise<AuthenticatedAgent>;
    /** @throws Fault STORE_UNAVAILABLE */
    confirmedStateOf(agentId: string): Promise<AgentState>;
  };
  /** @throws Fault RATE_LIMITED or SHUTTING_DOWN */
  readonly admit: (agentId: string) => void;
  /** The agent's decision of that id, if it still holds its claim. */
  readonly findClaimOf: (agentId: string, decisionId: string) => Promise<WatchedClaim | null>;
  readonly reviews: { current(first: Claim, policyVersion: string): Promise<Claim> };
  readonly policy: () => { readonly version: string };
  readonly watchers: Watchers;
  readonly writer: { record(entry: Entry, deadline: { readonly at: number }): Promise<Written | null> };
  readonly random: RandomPool;
  readonly now: () => Micros;
  readonly monotonic: () => number;
  readonly observe: { answered(answer: Answer): void };
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** The stream ends as much before its caller's deadline, so that its end arrives. */
const END_MARGIN_MS = 250;

/**
 * WatchDecision: `authenticate → parse → find → (look → answer → wait)…`, until the answer is no review's, or there is no time left.
 *
 * What is answered is recorded, as with Authorize.
 */
export function createWatch(ports: WatchPorts): WatchHandler {
  return async function* watch(call) {
    try {
      const { agentId } = await ports.directory.authenticate(call);
      ports.admit(agentId);
      const { decisionId, nonce } = checked(call.readBody());
      const first = await ports.findClaimOf(agentId, decisionId);
      if (first === null) throw new Fault("DECISION_UNKNOWN", `The agent has no decision ${decisionId} to watch.`);

      using watcher = ports.watchers.add(agentId, decisionId);
      for (let answered: string | null = null; ; ) {
        // Before the look, or a resolution that comes in between would be missed.
        const changed = watcher.nextChange();
        const claim = await currentClaim(ports, agentId, first, call.deadlineAt);
        if (claim.reason !== answered) yield told(ports, { ...first, ...claim, decisionId }, agentId, nonce);
        answered = claim.reason;
        if (DECISION_OF[claim.reason] !== "needs_review") return;
        if (!(await endsBefore(changed, endOf(call, ports.monotonic()), call.signal))) return;
        // An hour is long: the credential may have been revoked.
        await ports.directory.authenticate(call);
      }
    } catch (error) {
      throw unavailable(error);
    }
  };
}

function checked({ decisionId, nonce }: ReturnType<WatchCall["readBody"]>): ReturnType<WatchCall["readBody"]> {
  if (!UUID.test(decisionId)) throw new Fault("FIELD_INVALID", "decision_id must be a UUID.", { field: "decision_id" });
  if (nonce.length > 0 && nonce.length !== LIMITS.nonceBytes)
    throw new Fault("FIELD_INVALID", `nonce must be ${LIMITS.nonceBytes} bytes or absent.`, { field: "nonce" });
  return { decisionId: decisionId.toLowerCase(), nonce };
}

/** What a retry would be answered now. */
async function currentClaim(
  ports: WatchPorts,
  agentId: string,
  first: WatchedClaim,
  deadlineAt: number,
): Promise<Claim> {
  // Whatever was approved: a frozen agent is denied.
  if ((await ports.directory.confirmedStateOf(agentId)) !== "active")
    return await denyFrozen(ports, agentId, first, deadlineAt);
  return first.reason === "REVIEW_PENDING" ? await ports.reviews.current(first, ports.policy().version) : first;
}

async function denyFrozen(ports: WatchPorts, agentId: string, first: WatchedClaim, deadlineAt: number): Promise<Claim> {
  const judgement = judge("AGENT_FROZEN", `The agent ${agentId} is frozen.`);
  const decision = { ...first, agentId, reviewId: null, payloadDigest: null };
  const followUp = makeFollowUp(decision, judgement, null, ports.now(), ports.random);
  const entry: Entry = { ...followUp, payload: null, claim: null, review: null };
  const written = await ports.writer.record(entry, { at: deadlineAt });
  // A row without a claim has nothing to lose a race for.
  if (written === null) throw new Fault("INTERNAL", "The decision could not be recorded.");
  return { ...first, ...judgement, decidedAt: followUp.row.decidedAt };
}

function told(ports: WatchPorts, claim: WatchedClaim, agentId: string, nonce: Uint8Array): Answer {
  const { reason, message, decisionId, policyVersion, ruleId, decidedAt, tool, idempotencyKey } = claim;
  const answer: Answer = {
    decision: DECISION_OF[reason],
    reason,
    message,
    decisionId,
    policyVersion,
    ruleId,
    replayed: true,
    decidedAt,
    agentId,
    tool,
    idempotencyKey,
    nonce,
  };
  ports.observe.answered(answer);
  return answer;
}

/** How many milliseconds the stream may still last. */
function endOf({ deadlineAt }: WatchCall, now: number): number {
  const left = deadlineAt - now;
  return left - Math.min(END_MARGIN_MS, left / 4);
}

/** Whether `work` comes to its end within `milliseconds`, and before `signal` aborts. */
async function endsBefore(work: Promise<void>, milliseconds: number, signal: AbortSignal): Promise<boolean> {
  const { promise: over, resolve } = Promise.withResolvers<boolean>();
  const stop = (): void => resolve(false);
  const timer = setTimeout(stop, Math.max(0, milliseconds));
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    return await Promise.race([work.then(() => true), over]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

function unavailable(error: unknown): Fault {
  if (error instanceof Fault) return error;
  return new Fault("STORE_UNAVAILABLE", "The decision could not be read, so it is not answered.", {
    cause: error,
    retryAfterMs: 1000,
  });
}
