import { makeFollowUp } from "../audit/row/follow-up.ts";
import type { Entry, Written } from "../audit/write/writer.ts";
import type { AgentState, AuthenticatedAgent } from "../authn/directory.ts";
import type { Micros } from "../core/clock.ts";
import { Deadline } from "../core/deadline.ts";
import { DECISION_OF, type Judgement } from "../core/decision.ts";
import { Fault } from "../core/fault.ts";
import type { RecordedDecision } from "../idempotency/ledger.ts";
import { type RandomPool, UUID } from "../core/ids.ts";
import type { Redaction } from "../policy/redaction.ts";
import { type Answer, answerTo, type Call, type UnverifiedWatch, type WatchHandler } from "./call.ts";
import { type FramePorts, frameStream } from "./frame.ts";
import { recordFrozen } from "./frozen.ts";
import { checkNonce } from "../core/request.ts";
import type { Watchers } from "./watchers.ts";

/** A decision that holds its claim, with what it is about. */
export interface WatchedDecision extends RecordedDecision {
  readonly tool: string;
  readonly idempotencyKey: string;
}

export interface WatchPorts extends FramePorts {
  readonly agents: FramePorts["agents"] & {
    /** @throws Fault STORE_UNAVAILABLE */
    confirmedStateOf(agentId: string): Promise<AgentState>;
  };
  /** @throws Fault RATE_LIMITED or SHUTTING_DOWN */
  readonly admit: (agentId: string) => void;
  /** The agent's decision of that id, if it still holds its claim. */
  readonly findClaimOf: (agentId: string, decisionId: string) => Promise<WatchedDecision | null>;
  readonly reviews: { current(first: RecordedDecision, policyVersion: string): Promise<RecordedDecision> };
  readonly policy: () => { readonly version: string; readonly redaction: Redaction };
  readonly watchers: Watchers;
  readonly writer: { record(entry: Entry, deadline: { readonly at: number }): Promise<Written | null> };
  readonly random: RandomPool;
  readonly now: () => Micros;
  readonly answered: (answer: Answer) => void;
}

/** The stream ends as much before its caller's deadline, so that its end arrives. */
const END_MARGIN_MS = 250;

/**
 * WatchDecision: `authenticate → parse → find → (look → answer → wait)…`, until the answer is no review's, or there is no time left.
 *
 * What is answered is recorded, as with Authorize.
 */
export function createWatch(ports: WatchPorts): WatchHandler {
  return frameStream(ports, { method: "WatchDecision", admit: ports.admit, handle: watch });

  async function* watch(
    call: Call<UnverifiedWatch>,
    { agentId }: AuthenticatedAgent,
  ): AsyncGenerator<Answer, void, undefined> {
    const { decisionId, nonce } = checked(call.readBody());
    const first = await ports.findClaimOf(agentId, decisionId);
    if (first === null) throw new Fault("DECISION_UNKNOWN", `The agent has no decision ${decisionId} to watch.`);
    const echoed = { agentId, tool: first.tool, idempotencyKey: first.idempotencyKey, nonce };

    using watcher = ports.watchers.add(agentId, decisionId);
    for (let answered: string | null = null; ; ) {
      // Before the look, or a resolution that comes in between would be missed.
      const changed = watcher.nextChange();
      const decision = await currentDecision(ports, agentId, first, call.deadlineAt);
      if (decision.reason !== answered) {
        const answer = answerTo(echoed, decision, true);
        ports.answered(answer);
        yield answer;
      }
      answered = decision.reason;
      if (DECISION_OF[decision.reason] !== "needs_review") return;
      using streamEnd = endOfStream(call, ports.monotonic);
      if ((await streamEnd.race(changed)).kind !== "done") return;
      // An hour is long: the credential may have been revoked.
      await ports.agents.authenticate(call);
    }
  }
}

function checked({ decisionId, nonce }: UnverifiedWatch): UnverifiedWatch {
  const lowerCase = decisionId.toLowerCase();
  if (!UUID.test(lowerCase)) throw new Fault("FIELD_INVALID", "decision_id must be a UUID.", { field: "decision_id" });
  checkNonce(nonce);
  return { decisionId: lowerCase, nonce };
}

/** What a retry would be answered now. */
async function currentDecision(
  ports: WatchPorts,
  agentId: string,
  first: WatchedDecision,
  deadlineAt: number,
): Promise<RecordedDecision> {
  // Whatever was approved: a frozen agent is denied.
  if ((await ports.agents.confirmedStateOf(agentId)) !== "active")
    return await denyFrozen(ports, agentId, first, deadlineAt);
  return first.reason === "REVIEW_PENDING" ? await ports.reviews.current(first, ports.policy().version) : first;
}

/** The deny is a row of its own, and answered under the id of the decision that is watched. */
async function denyFrozen(
  ports: WatchPorts,
  agentId: string,
  first: WatchedDecision,
  deadlineAt: number,
): Promise<RecordedDecision> {
  const decision = { ...first, agentId, reviewId: null, payloadDigest: null };
  const entryOf = (judgement: Judgement): Entry => {
    const followUp = makeFollowUp(decision, judgement, null, ports.now(), ports.random);
    return { ...followUp, payload: null, claim: null, review: null };
  };
  const { row } = await recordFrozen(ports.writer, agentId, entryOf, { at: deadlineAt });
  const { reason, message, ruleId, decidedAt } = row;
  return { ...first, reason, message, ruleId, decidedAt, expiresAt: null };
}

/** When the stream must end: a little before its caller's deadline, or when its caller goes away. */
function endOfStream({ deadlineAt, signal }: Call<unknown>, monotonic: () => number): Deadline {
  const left = deadlineAt - monotonic();
  return new Deadline({ monotonic }, deadlineAt - Math.min(END_MARGIN_MS, left / 4), { signal });
}
