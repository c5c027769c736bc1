import { type EventFacts, type HashedEvent, makeEvent } from "../audit/row/event.ts";
import type { AgentState, AuthenticatedAgent } from "../authn/directory.ts";
import type { Micros } from "../core/clock.ts";
import { DECISION_OF } from "../core/decision.ts";
import { failpoint } from "../core/failpoint.ts";
import { Fault } from "../core/fault.ts";
import { type RandomPool, UUID } from "../core/ids.ts";
import { LIMITS } from "../core/request.ts";
import type { Execution, ExecutionRefusal } from "../execution/execution.ts";
import { sameDigest } from "../idempotency/key.ts";
import type { RecordedDecision } from "../idempotency/ledger.ts";
import type { Redaction } from "../policy/redaction.ts";
import type { Review } from "../review/review.ts";
import type { Call } from "./call.ts";
import type { BeginAnswer, BeginHandler, UnverifiedBegin } from "./execution-call.ts";
import { type FramePorts, frameUnary } from "./frame.ts";
import type { StartableDecision } from "../execution/startable.ts";
import type { StartEntry } from "../store/execution-entries.ts";

export interface BeginPorts extends FramePorts {
  readonly agents: FramePorts["agents"] & {
    /** @throws Fault STORE_UNAVAILABLE */
    confirmedStateOf(agentId: string): Promise<AgentState>;
  };
  /** @throws Fault RATE_LIMITED or SHUTTING_DOWN */
  readonly admit: (agentId: string) => void;
  readonly executions: {
    findDecision(decisionId: string): Promise<StartableDecision | null>;
    find(decisionId: string): Promise<Execution | null>;
  };
  /** What this process has just allowed. */
  readonly recent: { find(decisionId: string): StartableDecision | null };
  /** The review of a decision that needs one, as it stands now; null if it has none. */
  readonly reviews: { currentReview(first: RecordedDecision, policyVersion: string): Promise<Review | null> };
  readonly policy: () => {
    readonly version: string;
    readonly redaction: Redaction;
    /** How long an execution of the rule's may take to be reported; null if the rule does not say. */
    executionMicrosOf(ruleId: string): Micros | null;
  };
  /** How long an execution may take to be reported where its rule does not say. */
  readonly executionMicros: Micros;
  /** Null if the decision was started before, holds its claim no more, or a guard has started its key. */
  readonly starts: { record(entry: StartEntry, deadline: { readonly at: number }): Promise<true | null> };
  readonly events: { append(event: HashedEvent): Promise<void> };
  /** Decisions of before this cannot be started: the database was rolled back, and may have forgotten that they were. 0: none. */
  readonly decisionsVoidBefore: () => Micros;
  readonly random: RandomPool;
  readonly now: () => Micros;
  readonly begun: (answer: BeginAnswer) => void;
}

/**
 * BeginExecution: `authenticate → parse → find → may it start? → record → answer`.
 *
 * What is answered is committed: a start with its event, or the event of the refusal.
 */
export function createBegin(ports: BeginPorts): BeginHandler {
  return frameUnary(ports, { method: "BeginExecution", admit: ports.admit, handle: begin });

  async function begin(call: Call<UnverifiedBegin>, agent: AuthenticatedAgent): Promise<BeginAnswer> {
    const { agentId, keyId: credentialId } = agent;
    const request = { agentId, credentialId, ...checkBegin(call.readBody()) };
    const recent = ports.recent.find(request.decisionId);
    const answer =
      (recent && (await answerTo(request, recent, call.deadlineAt))) ??
      (await answerTo(request, await ports.executions.findDecision(request.decisionId), call.deadlineAt));
    if (answer === null)
      throw new Fault("STORE_UNAVAILABLE", "The decision changed while it was being started.", { retryAfterMs: 100 });
    ports.begun(answer);
    failpoint("before-begin-answer");
    return answer;
  }

  /** Null if the decision is not any more what it was found to be. */
  async function answerTo(
    request: BeginRequest,
    decision: StartableDecision | null,
    deadlineAt: number,
  ): Promise<BeginAnswer | null> {
    // INVARIANT: another agent's decision looks like one that does not exist.
    if (decision === null || decision.agentId !== request.agentId)
      return await refuse(ports, request, decision, "UNKNOWN_DECISION");
    // What a guard has started under a bypass is not started again, neither as that decision nor as another one under its key.
    const { bypassedDecisionId } = decision;
    const bypassed = bypassedDecisionId === null ? null : await ports.executions.find(bypassedDecisionId);
    if (bypassed !== null) return startedAnswer(request, bypassed);
    const refusal = await refusalOf(ports, decision);
    return refusal === null
      ? await start(ports, request, decision, deadlineAt)
      : await refuse(ports, request, decision, refusal);
  }
}

/** A request of an authenticated agent. */
interface BeginRequest {
  readonly agentId: string;
  readonly credentialId: string;
  readonly decisionId: string;
  readonly nonce: Uint8Array;
}

/** @throws Fault FIELD_INVALID naming the field */
export function checkBegin({ decisionId, nonce }: UnverifiedBegin): Pick<BeginRequest, "decisionId" | "nonce"> {
  const lowerCase = decisionId.toLowerCase();
  if (!UUID.test(lowerCase)) throw new Fault("FIELD_INVALID", "decision_id must be a UUID.", { field: "decision_id" });
  if (nonce.length !== LIMITS.nonceBytes) {
    const problem = `nonce must be ${LIMITS.nonceBytes} bytes, is ${nonce.length} bytes.`;
    throw new Fault("FIELD_INVALID", problem, { field: "nonce" });
  }
  return { decisionId: lowerCase, nonce };
}

/** Why its agent may not start the decision now; null if it may. */
async function refusalOf(ports: BeginPorts, decision: StartableDecision): Promise<ExecutionRefusal | null> {
  if ((await ports.agents.confirmedStateOf(decision.agentId)) !== "active") return "AGENT_FROZEN";
  // A guard's decision is its journal's to start. A follow-up is a row about a decision, which has an id of its own to be started by.
  if (decision.source !== "service" || decision.linkedDecisionId !== null) return "UNKNOWN_DECISION";
  if (DECISION_OF[decision.reason] === "deny") return "NOT_ALLOWED";
  // INVARIANT: only the decision that holds its key's claim is started, so a key that is free again never has two executions at once.
  const { requestDigest, expiresAt } = decision;
  if (requestDigest === null || expiresAt === null) return "EXPIRED";
  if (decision.recordedAt < ports.decisionsVoidBefore()) return "EXPIRED";
  return DECISION_OF[decision.reason] === "allow"
    ? null
    : await reviewRefusal(ports, { ...decision, requestDigest, expiresAt });
}

/** Notes that the approval is used, as Authorize does, or says why there is none. */
async function reviewRefusal(ports: BeginPorts, decision: RecordedDecision): Promise<ExecutionRefusal | null> {
  const review = await ports.reviews.currentReview(decision, ports.policy().version);
  if (review === null) return "NOT_ALLOWED";
  if (review.state === "approved") return null;
  return review.approvalExpiresAt === null ? "NOT_ALLOWED" : "APPROVAL_LAPSED";
}

/** Starts the decision, or finds out who has; null if it can be started no more. */
async function start(
  ports: BeginPorts,
  request: BeginRequest,
  decision: StartableDecision,
  deadlineAt: number,
): Promise<BeginAnswer | null> {
  const entry = startEntry(ports, request, decision);
  failpoint("before-start-commit");
  const isFirst = (await ports.starts.record(entry, { at: deadlineAt })) !== null;
  failpoint("after-start-commit");
  // INVARIANT: from here on the start is durable. A crash loses the answer, and a retry with the same nonce finds the start.
  if (isFirst) return startedAnswer(request, { ...entry.execution, end: null });
  const execution = await ports.executions.find(request.decisionId);
  return execution === null ? null : startedAnswer(request, execution);
}

function startEntry(
  { policy, executionMicros, now, random }: BeginPorts,
  { agentId, credentialId, decisionId, nonce }: BeginRequest,
  { ruleId, tool, idempotencyKey, recordedAt }: StartableDecision,
): StartEntry {
  const startedAt = now();
  const micros = (ruleId === null ? null : policy().executionMicrosOf(ruleId)) ?? executionMicros;
  const reportDueAt = startedAt + micros;
  const detail = { tool, credentialId, reportDueAtUs: reportDueAt };
  const event = makeEvent({ ...factsOf(agentId, decisionId, "execution.started"), detail }, startedAt, random);
  const executionId = event.row.eventId;
  return {
    execution: {
      decisionId,
      executionId,
      agentId,
      tool,
      idempotencyKey,
      nonce,
      startedAt,
      startedBy: credentialId,
      reportDueAt,
    },
    recordedAt,
    event,
  };
}

function startedAnswer({ agentId, decisionId, nonce }: BeginRequest, execution: Execution): BeginAnswer {
  const isOwn = sameDigest(execution.nonce, nonce);
  const state = isOwn ? "started" : "already_started";
  const message = isOwn ? "The execution is started: run the tool, once." : "The decision was started before.";
  return { state, message, decisionId, nonce, agentId, execution };
}

/** Records the refusal. A caller that did not start it still learns that it was started while it was allowed. */
async function refuse(
  ports: BeginPorts,
  request: BeginRequest,
  decision: StartableDecision | null,
  reason: ExecutionRefusal,
): Promise<BeginAnswer> {
  const { agentId, credentialId, decisionId, nonce } = request;
  if (reason === "EXPIRED" || reason === "APPROVAL_LAPSED") {
    const execution = await ports.executions.find(decisionId);
    if (execution !== null && !sameDigest(execution.nonce, nonce)) return startedAnswer(request, execution);
  }
  const owner = decision === null || decision.agentId === agentId ? {} : { decisionOf: decision.agentId };
  const detail = { refusal: reason, credentialId, ...owner };
  const facts = { ...factsOf(agentId, decisionId, "execution.refused"), detail };
  await ports.events.append(makeEvent(facts, ports.now(), ports.random));
  return { state: "refused", reason, message: MESSAGES[reason], decisionId, nonce, agentId };
}

function factsOf(agentId: string, decisionId: string, kind: string): EventFacts {
  return { kind, actor: `agent:${agentId}`, subject: agentId, decisionId };
}

const MESSAGES: Readonly<Record<ExecutionRefusal, string>> = {
  UNKNOWN_DECISION: "The agent has no such decision of the service's.",
  NOT_ALLOWED: "The decision is not an allow.",
  EXPIRED: "The decision does not hold any more: ask again, with another idempotency key.",
  AGENT_FROZEN: "The agent is frozen.",
  APPROVAL_LAPSED: "The approval of this call does not hold any more.",
};
