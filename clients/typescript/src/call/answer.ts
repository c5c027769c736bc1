import type { Micros } from "@datacrawl/core/clock";
import { decodeFields, type Fields } from "./message.ts";

/** An AuthorizeResponse as decoded: each known field at most once and of its wire type, and no more than that. */
export interface UnverifiedAnswer {
  readonly reason: number;
  readonly message: string;
  readonly decisionId: string;
  readonly policyVersion: string;
  readonly replayed: number;
  /** Null if absent. */
  readonly decidedAt: Micros | null;
  readonly ruleId: string;
  readonly agentId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
  readonly nonce: Uint8Array;
  readonly source: number;
  /** Undefined if absent, which is not the same as an explicit zero. */
  readonly decision: number | undefined;
}

/** AuthorizeResponse's fields by number. */
const FIELDS: Fields<UnverifiedAnswer> = new Map([
  [1, ["reason", "number"]],
  [2, ["message", "string"]],
  [3, ["decisionId", "string"]],
  [4, ["policyVersion", "string"]],
  [5, ["replayed", "number"]],
  [6, ["decidedAt", "timestamp"]],
  [7, ["ruleId", "string"]],
  [8, ["agentId", "string"]],
  [9, ["tool", "string"]],
  [10, ["idempotencyKey", "string"]],
  [11, ["nonce", "bytes"]],
  [12, ["source", "number"]],
  [15, ["decision", "number"]],
]);

/**
 * Decodes an AuthorizeResponse.
 *
 * @throws Undecodable
 */
export function decodeAnswer(bytes: Uint8Array): UnverifiedAnswer {
  return decodeFields(bytes, FIELDS, ABSENT);
}

const ABSENT: UnverifiedAnswer = {
  reason: 0,
  message: "",
  decisionId: "",
  policyVersion: "",
  replayed: 0,
  decidedAt: null,
  ruleId: "",
  agentId: "",
  tool: "",
  idempotencyKey: "",
  nonce: new Uint8Array(0),
  source: 0,
  decision: undefined,
};
