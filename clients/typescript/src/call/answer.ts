import type { Micros } from "@datacrawl/core/clock";
import { Undecodable } from "@datacrawl/core/undecodable";
import { WireReader, WireType } from "@datacrawl/core/wire-reader";

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

type Field = keyof UnverifiedAnswer;

/** AuthorizeResponse's fields by number. */
const FIELDS = new Map<number, readonly [Field, "number" | "string" | "bytes" | "timestamp"]>([
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
 * Decodes an AuthorizeResponse. Unknown fields are passed over, so that the contract can grow.
 *
 * @throws Undecodable
 */
export function decodeAnswer(bytes: Uint8Array): UnverifiedAnswer {
  const answer: { -readonly [F in Field]: UnverifiedAnswer[F] } = { ...EMPTY };
  const values = answer as Record<Field, unknown>;
  const seen = new Set<Field>();
  const reader = new WireReader(bytes);
  const end = reader.length;
  while (reader.at < end) {
    const tag = reader.tag(end);
    const known = FIELDS.get(tag >>> 3);
    if (known === undefined) {
      reader.skip(tag, end);
      continue;
    }
    const [name, kind] = known;
    if ((tag & 7) !== (kind === "number" ? WireType.varint : WireType.bytes))
      throw new Undecodable(`has ${name} with wire type ${tag & 7}`);
    if (seen.has(name)) throw new Undecodable(`has ${name} twice`);
    seen.add(name);
    if (kind === "number") values[name] = reader.varint(end);
    else if (kind === "timestamp") values[name] = readTimestamp(reader, reader.lengthDelimited(end));
    else values[name] = reader[kind](end);
  }
  return answer;
}

const EMPTY: UnverifiedAnswer = {
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

const SECONDS = (1 << 3) | WireType.varint;
const NANOS = (2 << 3) | WireType.varint;

/** A google.protobuf.Timestamp between 1970 and 2255, where {@link Micros} is exact. */
function readTimestamp(reader: WireReader, end: number): Micros {
  let seconds: number | undefined;
  let nanos: number | undefined;
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag === SECONDS && seconds === undefined) seconds = reader.varint(end);
    else if (tag === NANOS && nanos === undefined) nanos = reader.varint(end);
    else reader.skipUnknown(tag, 2, end);
  }
  const micros = (seconds ?? 0) * 1_000_000 + Math.floor((nanos ?? 0) / 1000);
  if ((nanos ?? 0) > 999_999_999 || !Number.isSafeInteger(micros))
    throw new Undecodable("has a decidedAt that is out of range");
  return micros;
}
