import { AGENT_ID } from "./names.ts";
import { canonicalJson } from "./canonical-json.ts";
import type { Micros } from "./clock.ts";
import { DECISION_OF, type Reason } from "./decision.ts";
import { encodeExecutionBody, type ExecutionRecord, executionRecordOf, isExecutionBody } from "./journal-executions.ts";
import { sha256 } from "./sha256.ts";
import {
  arrayOf,
  type Checked,
  either,
  isCount,
  isPositive,
  isUuid,
  literal,
  matching,
  object,
  text,
} from "./shape.ts";

/**
 * The journal's records and lines, as docs/journal-format.md has them. Pure: the service reads uploads with
 * {@link readEntry}, a guard reads its files with {@link readSegment}.
 */

interface Decided {
  /** UUID. */
  readonly decisionId: string;
  readonly agentId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
  /** The reason as a sentence, without the payload. Control characters become spaces; cut at 512 bytes. */
  readonly message: string;
  /** By the guard's clock. */
  readonly decidedAt: Micros;
  /** 64 hex digits: SHA-256 of the canonical JSON of agent, tool and payload. */
  readonly requestDigest: string;
  /** What led to it, newest first: at most 5, each cut at 200 bytes. */
  readonly errors?: readonly string[];
  /** How often the service was asked. */
  readonly attempts?: number;
}

/** A deny that the guard decided alone. Its tool and key are cut at 256 bytes, for a guard also denies what is too long. */
export interface DenyRecord extends Decided {
  readonly kind: "deny";
  /** One that agrees with a deny. */
  readonly reason: Reason;
}

/** An allow under a grant. Its tool and key are exact. */
export interface BypassRecord extends Decided {
  readonly kind: "bypass_allow";
  readonly reason: "CIRCUIT_BYPASS";
  /** UUID. */
  readonly grantId: string;
}

export type { ExecutionRecord };
/** A record of layout 1: a decision. */
export type DecisionRecord = DenyRecord | BypassRecord;
/** A record of either layout. */
export type JournalRecord = DecisionRecord | ExecutionRecord;

/** Where a record stands. */
export interface Position {
  /** UUID. */
  readonly journalId: string;
  /** 1 for a journal's first record, and one more for each. */
  readonly sequence: number;
  /** Denies that were counted but not kept since the record before. 0 in a record of layout 2, which has no place for it. */
  readonly coalesced: number;
}

export type StoredDecision = DecisionRecord & Position;
export type StoredExecution = ExecutionRecord & Position;
export type StoredRecord = StoredDecision | StoredExecution;

export interface RecordProblem {
  readonly problem: string;
}

/** A record as it is chained and uploaded. */
export interface JournalEntry {
  readonly journalId: string;
  readonly sequence: number;
  readonly previousHash: Uint8Array;
  readonly hash: Uint8Array;
  readonly body: Uint8Array;
}

/** The hash before a journal's first record. */
export const NO_HASH: Uint8Array = new Uint8Array(32);
export const MAX_BODY_BYTES = 8192;
/** Of layout 2: a summary and a key may be escaped throughout. */
export const MAX_EXECUTION_BODY_BYTES = 16_384;

/** What a record's hash begins with. The record's kind says which layout it has. */
const HASH_DOMAINS = { 1: Buffer.from("datacrawl.journal.v1"), 2: Buffer.from("datacrawl.journal.v2") } as const;
const HASH_DIGITS = 64;
const LF = 0x0a;
const CLOSING_BRACE = 0x7d;

/** Whether it is about an execution, and so has layout 2. */
export function isExecution(record: JournalRecord): record is ExecutionRecord;
export function isExecution(record: StoredRecord): record is StoredExecution;
export function isExecution({ kind }: JournalRecord): boolean {
  return kind === "bypass_start" || kind === "bypass_end";
}

/** @throws if a record of a bypass could not be kept exactly, or a field has no place in a record */
export function encodeEntry(record: JournalRecord, position: Position, previousHash: Uint8Array): JournalEntry {
  const body = isExecution(record) ? encodeExecutionBody(record, position) : encodeBody(record, position);
  return {
    journalId: position.journalId,
    sequence: position.sequence,
    previousHash,
    hash: hashOf(layoutOf(record), previousHash, body),
    body,
  };
}

/** A line of a journal file: previous hash, hash, body, each a word; and a line feed. */
export function encodeLine({ previousHash, hash, body }: JournalEntry): Buffer {
  return Buffer.concat([Buffer.from(`${hex(previousHash)} ${hex(hash)} `), body, Buffer.of(LF)]);
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function layoutOf(record: JournalRecord): 1 | 2 {
  return isExecution(record) ? 2 : 1;
}

function hashOf(layout: 1 | 2, previousHash: Uint8Array, body: Uint8Array): Buffer {
  return sha256(Buffer.concat([HASH_DOMAINS[layout], previousHash, body]));
}

function encodeBody(record: DecisionRecord, position: Position): Uint8Array {
  const exact = { tool: cut(record.tool, 256), idempotency_key: cut(record.idempotencyKey, 256) };
  // INVARIANT: what was allowed is named exactly, or not allowed.
  if (
    record.kind === "bypass_allow" &&
    (exact.tool !== record.tool || exact.idempotency_key !== record.idempotencyKey)
  ) {
    throw new RangeError("a bypass record cannot hold this tool or idempotency key exactly");
  }
  // In the order of canonical JSON, so that writing it down makes it canonical: sorting costs more than all else here.
  const fields = {
    agent_id: record.agentId,
    ...(record.attempts !== undefined && { attempts: record.attempts }),
    ...(position.coalesced > 0 && { coalesced: position.coalesced }),
    decided_at_us: record.decidedAt,
    decision_id: record.decisionId,
    ...(record.errors !== undefined && { errors: record.errors.slice(0, 5).map((error) => cut(spaced(error), 200)) }),
    ...(record.kind === "bypass_allow" && { grant_id: record.grantId }),
    idempotency_key: exact.idempotency_key,
    journal_id: position.journalId,
    kind: record.kind,
    message: cut(spaced(record.message), 512),
    reason: record.reason,
    request_digest: record.requestDigest,
    sequence: position.sequence,
    tool: exact.tool,
  };
  const wrong = (record.kind === "deny" ? isDeny : isBypass).wrongMember(fields);
  if (wrong !== null) throw new RangeError(`${wrong} has no place in a journal record`);
  return Buffer.from(JSON.stringify(fields));
}

/** Most texts are, and then there is nothing to replace; an ASCII character is one byte. */
const PRINTABLE = /^[ -~]*$/;

/** `text` without what canonical JSON refuses, and no longer than `maxBytes` of UTF-8. */
function cut(text: string, maxBytes: number): string {
  if (text.length <= maxBytes && PRINTABLE.test(text)) return text;
  const clean = text.toWellFormed().replaceAll("\0", "\ufffd");
  if (Buffer.byteLength(clean) <= maxBytes) return clean;
  return clean.slice(0, new TextEncoder().encodeInto(clean, new Uint8Array(maxBytes)).read);
}

function spaced(text: string): string {
  if (PRINTABLE.test(text)) return text;
  return text.replaceAll(/\p{Cc}/gu, " ");
}

const DENY_REASONS: ReadonlySet<unknown> = new Set(
  Object.entries(DECISION_OF).flatMap(([reason, decision]) => (decision === "deny" ? [reason] : [])),
);
const everyBody = {
  decision_id: isUuid,
  agent_id: matching(AGENT_ID),
  tool: text(256),
  idempotency_key: text(256),
  message: text(512),
  decided_at_us: isCount,
  request_digest: matching(/^[0-9a-f]{64}$/),
  journal_id: isUuid,
  sequence: isPositive,
};
const sometimes = { coalesced: isCount, attempts: isCount, errors: arrayOf(text(200), { max: 5 }) };
const isDeny = object(
  { kind: literal("deny"), reason: (name: unknown): name is Reason => DENY_REASONS.has(name), ...everyBody },
  sometimes,
);
const isBypass = object(
  { kind: literal("bypass_allow"), reason: literal("CIRCUIT_BYPASS"), grant_id: isUuid, ...everyBody },
  sometimes,
);
const isBody = either(isDeny, isBypass);

const MALFORMED: RecordProblem = { problem: "the record is malformed" };
const NOT_ITS_HASH: RecordProblem = { problem: "the hash is not the record's" };

/** The record in a body, if it is one in every respect: canonical, within its bounds, with a reason that agrees. */
export function readBody(unverifiedBody: Uint8Array): StoredRecord | RecordProblem {
  const length = unverifiedBody.length;
  if (length > MAX_EXECUTION_BODY_BYTES) return { problem: `the record is over ${MAX_EXECUTION_BODY_BYTES} bytes` };
  try {
    const written = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(unverifiedBody);
    const fields: unknown = JSON.parse(written);
    if (!isBody(fields) && !isExecutionBody(fields)) return MALFORMED;
    if (canonicalJson(fields, "record", 3) !== written) return { problem: "the record is not canonical JSON" };
    if (isExecutionBody(fields)) return executionRecordOf(fields);
    return length > MAX_BODY_BYTES ? { problem: `the record is over ${MAX_BODY_BYTES} bytes` } : recordOf(fields);
  } catch {
    return MALFORMED;
  }
}

function recordOf(fields: Checked<typeof isBody>): StoredDecision {
  const common = {
    decisionId: fields.decision_id,
    agentId: fields.agent_id,
    tool: fields.tool,
    idempotencyKey: fields.idempotency_key,
    message: fields.message,
    decidedAt: fields.decided_at_us,
    requestDigest: fields.request_digest,
    journalId: fields.journal_id,
    sequence: fields.sequence,
    coalesced: fields.coalesced ?? 0,
    ...(fields.attempts !== undefined && { attempts: fields.attempts }),
    ...(fields.errors !== undefined && { errors: fields.errors }),
  };
  return fields.kind === "deny"
    ? { kind: fields.kind, reason: fields.reason, ...common }
    : { kind: fields.kind, reason: fields.reason, grantId: fields.grant_id, ...common };
}

/**
 * The record of an entry that somebody uploads as `agentId`: its hash is right, and its body is a record of that agent, that
 * journal and that place in it. Whether the entry before it is the one it names is not looked at.
 */
export function readEntry(unverified: JournalEntry, agentId: string): StoredRecord | RecordProblem {
  const record = readLink(unverified, agentId);
  if ("problem" in record || record.sequence === unverified.sequence) return record;
  return { problem: "the record is of another place in the journal" };
}

function readLink(unverified: Omit<JournalEntry, "sequence">, agentId: string): StoredRecord | RecordProblem {
  const { journalId, previousHash, hash, body } = unverified;
  if (previousHash.length !== NO_HASH.length) return { problem: "the previous hash is not 32 bytes" };
  const layout = ([1, 2] as const).find((number) => hashOf(number, previousHash, body).equals(hash));
  if (layout === undefined) return NOT_ITS_HASH;
  const record = readBody(body);
  if ("problem" in record) return record;
  if (layoutOf(record) !== layout) return NOT_ITS_HASH;
  if (record.agentId !== agentId) return { problem: "the record is of another agent" };
  if (record.journalId !== journalId) return { problem: "the record is of another journal" };
  return record;
}

/** What a journal file holds. */
export interface SegmentContent {
  /** The records from the start, up to where the chain ends. */
  readonly entries: readonly JournalEntry[];
  /**
   * Why there are no more: the file ends there; its last record was never finished (a crash while writing, so it was never
   * acknowledged); or it is damaged.
   */
  readonly end: "whole" | "torn" | "damaged";
}

/** Reads a journal file. INVARIANT: only a prefix of the records as they were written is ever returned, whatever the bytes. */
export function readSegment(unverifiedBytes: Uint8Array, journalId: string, agentId: string): SegmentContent {
  const bytes = Buffer.from(unverifiedBytes.buffer, unverifiedBytes.byteOffset, unverifiedBytes.length);
  const entries: JournalEntry[] = [];
  let start = 0;
  while (start < bytes.length) {
    const newline = bytes.indexOf(LF, start);
    const line = bytes.subarray(start, newline < 0 ? bytes.length : newline);
    const entry = readLine(newline < 0 ? withoutTornEnd(line) : line, journalId, agentId);
    if (entry === null || !follows(entry, entries.at(-1))) return { entries, end: newline < 0 ? "torn" : "damaged" };
    entries.push(entry);
    if (newline < 0) break;
    start = newline + 1;
  }
  return { entries, end: "whole" };
}

/** Up to the last brace, with which a body ends: a record that lacks nothing but a sound line feed is kept. */
function withoutTornEnd(line: Buffer): Buffer {
  return line.subarray(0, line.lastIndexOf(CLOSING_BRACE) + 1);
}

function readLine(line: Buffer, journalId: string, agentId: string): JournalEntry | null {
  const [previousHash, hash] = [readHash(line, 0), readHash(line, HASH_DIGITS + 1)];
  if (previousHash === null || hash === null) return null;
  const link = { journalId, previousHash, hash, body: line.subarray(2 * (HASH_DIGITS + 1)) };
  const record = readLink(link, agentId);
  return "problem" in record ? null : { ...link, sequence: record.sequence };
}

/** The hash at `start`, in lower-case hex and followed by a space. */
function readHash(line: Buffer, start: number): Buffer | null {
  const word = line.toString("latin1", start, start + HASH_DIGITS + 1);
  return /^[0-9a-f]{64} $/.test(word) ? Buffer.from(word.slice(0, HASH_DIGITS), "hex") : null;
}

function follows(entry: JournalEntry, previous: JournalEntry | undefined): boolean {
  // A file that starts in mid-journal is sound: the files before it may have been uploaded and removed.
  if (previous === undefined) return entry.sequence > 1 || Buffer.compare(entry.previousHash, NO_HASH) === 0;
  return entry.sequence === previous.sequence + 1 && Buffer.compare(entry.previousHash, previous.hash) === 0;
}
