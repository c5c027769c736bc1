import * as wire from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { Micros } from "@datacrawl/core/clock";
import { UUID } from "@datacrawl/core/ids";
import { Undecodable } from "@datacrawl/core/undecodable";
import type { Reply } from "../transport/transport.ts";
import type { ExecutionOutcome, ExecutionRefusal, GuardStart } from "./execution.ts";
import { decodeFields, type Fields } from "./message.ts";
import { type Failure, malformed } from "./outcome.ts";

/** What a start asked. An answer that does not repeat all of it is not an answer to this start. */
export interface ExpectedStart {
  readonly agentId: string;
  readonly decisionId: string;
  /** 16 bytes, of this start and its retries alone. */
  readonly nonce: Uint8Array;
}

/** A well-formed answer of the service's to this very start. */
export interface AnsweredStart {
  readonly kind: "answered";
  readonly start: GuardStart;
}

/** A BeginExecutionResponse as decoded. */
interface UnverifiedStart {
  readonly reason: number;
  readonly message: string;
  readonly decisionId: string;
  readonly nonce: Uint8Array;
  readonly agentId: string;
  readonly executionId: string;
  readonly startedAt: Micros | null;
  readonly startedBy: string;
  readonly outcome: number;
  readonly endedAt: Micros | null;
  readonly reportDueAt: Micros | null;
  readonly source: number;
  readonly state: number;
}

const FIELDS: Fields<UnverifiedStart> = new Map([
  [1, ["reason", "number"]],
  [2, ["message", "string"]],
  [3, ["decisionId", "string"]],
  [4, ["nonce", "bytes"]],
  [5, ["agentId", "string"]],
  [6, ["executionId", "string"]],
  [7, ["startedAt", "timestamp"]],
  [8, ["startedBy", "string"]],
  [9, ["outcome", "number"]],
  [10, ["endedAt", "timestamp"]],
  [11, ["reportDueAt", "timestamp"]],
  [12, ["source", "number"]],
  [15, ["state", "number"]],
]);

const ABSENT: UnverifiedStart = {
  reason: 0,
  message: "",
  decisionId: "",
  nonce: new Uint8Array(0),
  agentId: "",
  executionId: "",
  startedAt: null,
  startedBy: "",
  outcome: 0,
  endedAt: null,
  reportDueAt: null,
  source: 0,
  state: 0,
};

/**
 * What the service said to a start, if it said it in the one right form and to this very start; else malformed.
 *
 * INVARIANT: the only place where bytes from the network become a start. As strict as the reading of a decision.
 */
export function interpretStart(reply: Reply, expected: ExpectedStart): AnsweredStart | Failure {
  if (reply.kind !== "messages") return reply;
  let unverified: UnverifiedStart;
  try {
    unverified = decodeFields(reply.unverifiedMessages[0] as Uint8Array, FIELDS, ABSENT);
  } catch (error) {
    if (error instanceof Undecodable) return malformed(`the answer ${error.message}`);
    throw error;
  }
  const problem = echoProblem(unverified, expected);
  const start = problem ?? startOf(unverified);
  return typeof start === "string" ? malformed(start) : { kind: "answered", start: Object.freeze(start) };
}

/** The first thing that keeps an answer from being one to this start, or null. */
function echoProblem(unverified: UnverifiedStart, expected: ExpectedStart): string | null {
  if (unverified.source !== Source.SERVICE) return "the answer is not from the service";
  if (unverified.agentId !== expected.agentId) return "the answer is for another agent";
  if (unverified.decisionId !== expected.decisionId) return "the answer is for another decision";
  if (Buffer.compare(unverified.nonce, expected.nonce) !== 0) return "the answer is for another start";
  return null;
}

/** What the answer says, or what is wrong with it: a state that is not known, or fields that do not agree with it. */
function startOf(unverified: UnverifiedStart): GuardStart | string {
  switch (unverified.state) {
    case wire.ExecutionState.STARTED:
    case wire.ExecutionState.ALREADY_STARTED:
      return executionOf(unverified);
    case wire.ExecutionState.REFUSED:
      return refusalOf(unverified);
    default:
      return "the answer holds no state";
  }
}

function executionOf(unverified: UnverifiedStart): GuardStart | string {
  const { state, message, decisionId, executionId, startedAt, startedBy, reportDueAt, endedAt } = unverified;
  const isStarted = state === wire.ExecutionState.STARTED;
  if (unverified.reason !== 0) return "a start has a reason of a refusal";
  if (isStarted !== (executionId !== "")) return "the execution's id does not agree with the state";
  if (isStarted && !UUID.test(executionId)) return "the execution's id is not a UUID";
  if (startedAt === null || reportDueAt === null || startedBy === "") return "the start has no time or no credential";
  const outcome = OUTCOMES.get(unverified.outcome);
  if (outcome === undefined) return `the contract has no outcome ${unverified.outcome}`;
  if ((outcome === null) !== (endedAt === null)) return "the outcome and its time do not agree";
  const end = outcome === null || endedAt === null ? null : { outcome, endedAt };
  const execution = { message, decisionId, source: "service", startedAt, startedBy, reportDueAt } as const;
  // INVARIANT: what has ended is not run, also if this very start began it: an operator may have resolved it meanwhile.
  if (isStarted && end === null) return { ...execution, state: "started", executionId };
  return { ...execution, state: "already_started", end };
}

function refusalOf(unverified: UnverifiedStart): GuardStart | string {
  const { message, decisionId, executionId, startedAt, startedBy, outcome, endedAt, reportDueAt } = unverified;
  const reason = REFUSALS.get(unverified.reason);
  if (reason === undefined) return `the service does not refuse for reason ${unverified.reason}`;
  const isBare = executionId === "" && startedBy === "" && outcome === 0;
  if (!isBare || startedAt !== null || endedAt !== null || reportDueAt !== null) return "a refusal names a start";
  return { message, decisionId, source: "service", state: "refused", reason, refusal: null };
}

const OUTCOMES = new Map<number, ExecutionOutcome | null>([
  [wire.Outcome.UNSPECIFIED, null],
  [wire.Outcome.SUCCEEDED, "succeeded"],
  [wire.Outcome.FAILED, "failed"],
  [wire.Outcome.UNKNOWN, "unknown"],
]);

const REFUSALS = new Map<number, ExecutionRefusal>([
  [wire.ExecutionRefusal.UNKNOWN_DECISION, "UNKNOWN_DECISION"],
  [wire.ExecutionRefusal.NOT_ALLOWED, "NOT_ALLOWED"],
  [wire.ExecutionRefusal.EXPIRED, "EXPIRED"],
  [wire.ExecutionRefusal.AGENT_FROZEN, "AGENT_FROZEN"],
  [wire.ExecutionRefusal.APPROVAL_LAPSED, "APPROVAL_LAPSED"],
]);
