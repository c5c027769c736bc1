import type { Micros } from "@datacrawl/core/clock";
import { WireError, WireReader, WireType } from "./wire.ts";

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

type Kind = "number" | "string" | "bytes" | "timestamp";

/** AuthorizeResponse's fields by number. */
const FIELDS = new Map<number, readonly [Field, Kind]>([
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
 * @throws WireError
 */
export function decodeAnswer(bytes: Uint8Array): UnverifiedAnswer {
  const answer: { -readonly [F in Field]: UnverifiedAnswer[F] } = { ...EMPTY };
  const values = answer as Record<Field, unknown>;
  const seen = new Set<Field>();
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const { field, type } = reader.tag();
    const known = FIELDS.get(field);
    if (known === undefined) {
      reader.skip(type);
      continue;
    }
    const [name, kind] = known;
    if (type !== (kind === "number" ? WireType.varint : WireType.bytes)) {
      throw new WireError(`${name} has wire type ${type}`);
    }
    if (seen.has(name)) throw new WireError(`${name} is repeated`);
    seen.add(name);
    values[name] = readValue(reader, kind);
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

function readValue(reader: WireReader, kind: Kind): unknown {
  switch (kind) {
    case "number":
      return reader.varint();
    case "string":
      return reader.string();
    case "bytes":
      return reader.bytes();
    case "timestamp":
      return readTimestamp(reader.bytes());
  }
}

/** google.protobuf.Timestamp between 1970 and 2255, where {@link Micros} is exact. */
function readTimestamp(bytes: Uint8Array): Micros {
  let seconds: number | undefined;
  let nanos: number | undefined;
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const { field, type } = reader.tag();
    const given = field === 1 ? seconds : nanos;
    if (field > 2) reader.skip(type);
    else if (type !== WireType.varint || given !== undefined) throw new WireError("decidedAt is not a timestamp");
    else if (field === 1) seconds = reader.varint();
    else nanos = reader.varint();
  }
  const micros = (seconds ?? 0) * 1_000_000 + Math.floor((nanos ?? 0) / 1000);
  if ((nanos ?? 0) > 999_999_999 || !Number.isSafeInteger(micros)) throw new WireError("decidedAt is out of range");
  return micros;
}
