/** A right answer, and the same with something changed. */
import { concat, lenField, varintField } from "./protobuf.ts";
import type { Question } from "./question.ts";
import { refusing, type StartFields, starting, startToJson, startToProto } from "./start-answer.ts";

/** An AuthorizeResponse. Enums are their numbers, known or not; null leaves the field out. */
export interface AnswerFields {
  readonly reason: number | null;
  readonly message: string;
  readonly decisionId: string;
  readonly policyVersion: string;
  readonly replayed: boolean;
  /** Seconds since 1970. */
  readonly decidedAt: number;
  readonly ruleId: string;
  readonly agentId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
  readonly nonce: Uint8Array;
  readonly source: number | null;
  readonly decision: number | null;
  /** To a start: the answer is this instead, so that one script of an envelope serves both methods. */
  readonly start: StartFields | null;
}

export const DECISION = { unspecified: 0, allow: 1, deny: 2, needsReview: 4 } as const;
export const SOURCE = { unspecified: 0, service: 1, guard: 2 } as const;

/** Names as the contract gives them, for JSON. A number without a name is written as a number. */
const DECISION_NAMES = new Map([
  [0, "DECISION_UNSPECIFIED"],
  [1, "DECISION_ALLOW"],
  [2, "DECISION_DENY"],
  [4, "DECISION_NEEDS_REVIEW"],
]);
const SOURCE_NAMES = new Map([
  [0, "SOURCE_UNSPECIFIED"],
  [1, "SOURCE_SERVICE"],
  [2, "SOURCE_GUARD"],
]);

/** The contract's reasons by number, without prefix. */
export const REASON = {
  UNSPECIFIED: 0,
  RULE_ALLOWED: 1,
  RULE_DENIED: 2,
  NO_MATCHING_RULE: 3,
  RULE_ERROR: 4,
  IDEMPOTENCY_KEY_REUSED: 5,
  AGENT_FROZEN: 6,
  REVIEW_PENDING: 7,
  REVIEW_APPROVED: 8,
  REVIEW_REJECTED: 9,
  REVIEW_EXPIRED: 10,
  SERVICE_UNAVAILABLE: 20,
  DEADLINE_EXCEEDED: 21,
  MALFORMED_RESPONSE: 22,
  REQUEST_REFUSED: 23,
  CIRCUIT_OPEN: 24,
  CIRCUIT_BYPASS: 25,
} as const;
const REASON_NAMES = new Map<number, string>(
  Object.entries(REASON).map(([name, number]) => [number, `REASON_${name}`]),
);

/** What the service would say if a rule allowed this. */
export function allowing(q: Question): AnswerFields {
  return {
    reason: REASON.RULE_ALLOWED,
    message: "Allowed by rule conformance.",
    decisionId: "0198c0de-0000-7000-8000-00000000c0de",
    policyVersion: `sha256:${"c0de".repeat(16)}`,
    replayed: false,
    decidedAt: 1_780_000_000,
    ruleId: "conformance",
    agentId: q.agentId,
    tool: q.tool,
    idempotencyKey: q.idempotencyKey,
    nonce: q.nonce,
    source: SOURCE.service,
    decision: DECISION.allow,
    start: q.method === "BeginExecution" ? starting(q) : null,
  };
}

/** What the service would say if a rule denied this. */
export function denying(q: Question): AnswerFields {
  return {
    ...allowing(q),
    reason: REASON.RULE_DENIED,
    decision: DECISION.deny,
    message: "Denied by rule conformance.",
    start: q.method === "BeginExecution" ? refusing(q) : null,
  };
}

/** Field numbers of AuthorizeResponse. */
export const FIELD = {
  reason: 1,
  message: 2,
  decisionId: 3,
  policyVersion: 4,
  replayed: 5,
  decidedAt: 6,
  ruleId: 7,
  agentId: 8,
  tool: 9,
  idempotencyKey: 10,
  nonce: 11,
  source: 12,
  decision: 15,
} as const;

/** Each field that is set, encoded, by field number and in that order. */
export function protoParts(a: AnswerFields): Map<number, Uint8Array> {
  const parts = new Map<number, Uint8Array>();
  const number = (field: number, value: number | null) => {
    if (value !== null) parts.set(field, varintField(field, value));
  };
  const bytes = (field: number, value: string | Uint8Array) => {
    if (value.length > 0) parts.set(field, lenField(field, value));
  };
  number(FIELD.reason, a.reason);
  bytes(FIELD.message, a.message);
  bytes(FIELD.decisionId, a.decisionId);
  bytes(FIELD.policyVersion, a.policyVersion);
  if (a.replayed) number(FIELD.replayed, 1);
  bytes(FIELD.decidedAt, varintField(1, a.decidedAt));
  bytes(FIELD.ruleId, a.ruleId);
  bytes(FIELD.agentId, a.agentId);
  bytes(FIELD.tool, a.tool);
  bytes(FIELD.idempotencyKey, a.idempotencyKey);
  bytes(FIELD.nonce, a.nonce);
  number(FIELD.source, a.source);
  number(FIELD.decision, a.decision);
  return parts;
}

/** `a` in protobuf, with some fields' encodings replaced; a replacement keeps its field's place. */
export function toProto(a: AnswerFields, replaced: Readonly<Record<number, Uint8Array>> = {}): Uint8Array {
  if (a.start !== null) return startToProto(a.start);
  const parts = protoParts(a);
  for (const [field, bytes] of Object.entries(replaced)) parts.set(Number(field), bytes);
  const inOrder = [...parts.entries()].toSorted(([one], [other]) => one - other);
  return concat(...inOrder.map(([, bytes]) => bytes));
}

/** Each field that is set, as a JSON value's text, by its name in JSON and in the contract's order. */
export function jsonParts(a: AnswerFields): Map<string, string> {
  const parts = new Map<string, string>();
  const set = (name: string, value: unknown) => parts.set(name, JSON.stringify(value));
  if (a.reason !== null) set("reason", REASON_NAMES.get(a.reason) ?? a.reason);
  set("message", a.message);
  set("decisionId", a.decisionId);
  set("policyVersion", a.policyVersion);
  if (a.replayed) set("replayed", true);
  set("decidedAt", new Date(a.decidedAt * 1000).toISOString());
  set("ruleId", a.ruleId);
  if (a.agentId !== "") set("agentId", a.agentId);
  if (a.tool !== "") set("tool", a.tool);
  if (a.idempotencyKey !== "") set("idempotencyKey", a.idempotencyKey);
  if (a.nonce.length > 0) set("nonce", Buffer.from(a.nonce).toString("base64"));
  if (a.source !== null) set("source", SOURCE_NAMES.get(a.source) ?? a.source);
  if (a.decision !== null) set("decision", DECISION_NAMES.get(a.decision) ?? a.decision);
  return parts;
}

/** `a` in JSON, with some members' values replaced by these texts, which need not be JSON. */
export function toJson(a: AnswerFields, replaced: Readonly<Record<string, string>> = {}): string {
  if (a.start !== null) return startToJson(a.start);
  const parts = jsonParts(a);
  for (const [name, text] of Object.entries(replaced)) parts.set(name, text);
  return `{${[...parts.entries()].map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}`;
}

/** `a` in the codec that was asked for. */
export function encode(a: AnswerFields, q: Question): Uint8Array {
  return q.codec === "proto" ? toProto(a) : new TextEncoder().encode(toJson(a));
}
