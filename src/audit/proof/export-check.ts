import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { hashDecision, hashEvent } from "../row/hash.ts";
import { EXPORT_FORMAT } from "./export-lines.ts";
import { rowLeaf, type Stream } from "../log/leaf.ts";
import { CompactRange, subtreesOf } from "../log/merkle.ts";
import type { NoteKey } from "../log/note.ts";
import { checkCheckpoint, checkPayload, payloadFromJson, ProofError, type SignedCheckpoint } from "./proof.ts";
import { type DecisionRow, EVENT_COLUMNS, type EventRow } from "../row/record.ts";
import { decisionFromJson, fromHex, RowError, rowFromJson, toHex } from "../row/row-json.ts";
import { parseJsonText, STRICTEST } from "../../core/json-text.ts";
import { Undecodable } from "../../core/undecodable.ts";

/**
 * Exports of the trail, one JSON value a line, and their check in one pass with constant memory (docs/proof-format.md): rows
 * in the order of their leaves, the hashes of the subtrees between them, and checkpoints where the tree has their size.
 */

export type ExportStep = "format" | "range" | "row" | "payload" | "signature" | "checkpoint" | "root" | "digest";

/** What is wrong with an export, and where. */
export interface ExportProblem {
  /** Counted from 1. */
  readonly line: number;
  readonly step: ExportStep;
  readonly message: string;
}

export interface EpochSummary {
  readonly epoch: number;
  /** The last one: all rows of the epoch are under it. */
  readonly checkpoint: SignedCheckpoint;
  readonly rows: number;
  /** Leaves of which the file has the hashes, but not the rows: before its first row, among its rows, after its last. */
  readonly leavesLeftOut: { readonly before: number; readonly among: number; readonly after: number };
}

export interface ExportSummary {
  readonly log: string;
  /** What the file says it is of, in microseconds; null for all from the beginning. */
  readonly from: number | null;
  readonly to: number;
  readonly decisions: number;
  readonly events: number;
  readonly payloads: number;
  readonly epochs: readonly EpochSummary[];
}

interface Header {
  readonly log: string;
  readonly from: number | null;
  readonly to: number;
}

interface EpochState {
  readonly epoch: number;
  readonly tree: CompactRange;
  rows: number;
  before: number;
  among: number;
  /** Leaves left out since the last row. */
  after: number;
  checkpoint: SignedCheckpoint | null;
  /** The line after the last checkpoint. */
  firstUnproven: number;
}

/** More are not listed one by one: the file is another one altogether. */
const MAX_PROBLEMS = 100;
const HASH_BYTES = 32;
const NEWLINE = 10;

/** Ends the check: nothing after this can be judged. */
class ExportError extends Error {
  readonly step: ExportStep;

  constructor(step: ExportStep, message: string) {
    super(message);
    this.step = step;
  }
}

/** Takes an export line by line. After the last one, {@link end} returns what it holds, and `problems` what is wrong. */
export class ExportCheck {
  readonly problems: ExportProblem[] = [];
  readonly #trusted: readonly NoteKey[];
  readonly #digest = createHash("sha256");
  readonly #totals = { decisions: 0, events: 0, payloads: 0 };
  readonly #epochs: EpochSummary[] = [];
  #lines = 0;
  #header: Header | null = null;
  #epoch: EpochState | null = null;
  #ended = false;
  #stopped = false;

  /** @param trusted the log's public keys, had from elsewhere than the file */
  constructor(trusted: readonly NoteKey[]) {
    this.#trusted = trusted;
  }

  /** True once nothing that follows can be judged. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** @param raw with its newline, unless the file ends without one */
  line(raw: Buffer): void {
    if (this.#stopped) return;
    this.#lines++;
    try {
      this.#take(decode(raw));
      if (!this.#ended) this.#digest.update(raw);
    } catch (error) {
      this.#stopped = true;
      this.#problem(error);
    }
  }

  /** What the file holds; null if it could not be judged whole. Holds only as far as `problems` is empty. */
  end(): ExportSummary | null {
    if (!this.#stopped && !this.#ended) {
      this.#lines++;
      this.#problem(new ExportError("format", "the file is truncated: its last line is missing"));
    }
    if (!this.#ended || this.#header === null) return null;
    return { ...this.#header, ...this.#totals, epochs: this.#epochs };
  }

  #take(text: string): void {
    if (this.#ended) throw new ExportError("format", "there is a line after the last one");
    const line = readLine(text);
    if (this.#header === null) this.#takeHeader(line);
    else if ("seq" in line) this.#takeRow(line, this.#mustBeInEpoch());
    else if ("gap" in line) takeGap(line, this.#mustBeInEpoch());
    else if ("checkpoint" in line) this.#takeCheckpoint(line, this.#mustBeInEpoch(), this.#header);
    else if ("epoch" in line) this.#takeEpoch(line);
    else if ("end" in line) this.#takeEnd(line);
    else throw new ExportError("format", "the line is of an unknown kind");
  }

  #takeHeader(line: Line): void {
    const { format, log, from, to, payloads, verifier_keys: keys, ...rest } = line;
    if (format !== EXPORT_FORMAT) throw new ExportError("format", `the first line does not say ${EXPORT_FORMAT}`);
    const fits = typeof log === "string" && (from === null || isNumber(from)) && isNumber(to);
    if (!fits || typeof payloads !== "boolean" || !Array.isArray(keys) || hasMembers(rest))
      throw new ExportError("format", "the first line is not a header");
    this.#header = { log, from, to };
  }

  #takeEpoch(line: Line): void {
    const { epoch, ...rest } = line;
    if (!isNumber(epoch) || hasMembers(rest)) throw new ExportError("format", "the line does not begin an epoch");
    this.#closeEpoch();
    if (epoch <= (this.#epochs.at(-1)?.epoch ?? -1))
      throw new ExportError("format", `epoch ${epoch} is not after the one before`);
    const firstUnproven = this.#lines + 1;
    this.#epoch = {
      epoch,
      tree: new CompactRange(),
      rows: 0,
      before: 0,
      among: 0,
      after: 0,
      checkpoint: null,
      firstUnproven,
    };
  }

  #takeRow(line: Line, epoch: EpochState): void {
    const { seq, hash: hex, decision, event, payload, ...rest } = line;
    const hash = fromHex(hex, HASH_BYTES);
    const isOneRow = (decision === undefined) !== (event === undefined);
    if (hash === null || !isOneRow || hasMembers(rest)) throw new ExportError("format", "the line is not a row");
    if (seq !== epoch.tree.size)
      throw new ExportError("format", `the row is leaf ${String(seq)}, the next is leaf ${epoch.tree.size}`);
    if (event !== undefined && payload !== undefined) throw new ExportError("format", "an event has no payload");
    const stream: Stream = event === undefined ? "decisions" : "events";
    if (event === undefined)
      this.#checkDecision(
        readRow(() => decisionFromJson(decision)),
        hash,
        payload,
      );
    else
      this.#checkEvent(
        readRow(() => rowFromJson<EventRow>(EVENT_COLUMNS, event)),
        hash,
      );
    this.#totals[stream]++;
    epoch.tree.append(rowLeaf(stream, hash));
    if (epoch.rows === 0) epoch.before = epoch.after;
    else epoch.among += epoch.after;
    epoch.after = 0;
    epoch.rows++;
  }

  #checkDecision(row: DecisionRow, hash: Uint8Array, payload: unknown): void {
    if (!hashDecision(row).equals(hash))
      this.#problem(
        new ExportError("row", `the columns of decision ${row.decisionId} do not have the hash ${toHex(hash)}`),
      );
    this.#checkTime("decision", row.decisionId, row.recordedAt);
    if (payload === undefined) return;
    const kept = payloadFromJson(payload);
    if (kept === null) throw new ExportError("format", "the payload is null");
    this.#totals.payloads++;
    try {
      checkPayload(row, kept);
    } catch (error) {
      this.#problem(error);
    }
  }

  #checkEvent(row: EventRow, hash: Uint8Array): void {
    if (!hashEvent(row).equals(hash))
      this.#problem(new ExportError("row", `the columns of event ${row.eventId} do not have the hash ${toHex(hash)}`));
    this.#checkTime("event", row.eventId, row.recordedAt);
  }

  #checkTime(kind: string, id: string, recordedAt: number): void {
    const { from, to } = this.#header as Header;
    if ((from !== null && recordedAt < from) || recordedAt >= to)
      this.#problem(new ExportError("range", `${kind} ${id} is not of the time that the first line names`));
  }

  #takeCheckpoint(line: Line, epoch: EpochState, header: Header): void {
    const { checkpoint: note, ...rest } = line;
    if (typeof note !== "string" || hasMembers(rest)) throw new ExportError("format", "the line is not a checkpoint");
    const checkpoint = checkCheckpoint(note, this.#trusted);
    const { size } = epoch.tree;
    if (checkpoint.origin !== header.log)
      throw new ExportError("checkpoint", `the checkpoint is of ${checkpoint.origin}, the file of ${header.log}`);
    if (checkpoint.epoch !== epoch.epoch || checkpoint.size !== size)
      throw new ExportError(
        "checkpoint",
        `the checkpoint is of epoch ${checkpoint.epoch} at ${checkpoint.size} leaves, the file at ${epoch.epoch} and ${size}`,
      );
    if (Buffer.compare(checkpoint.root, epoch.tree.root()) !== 0)
      throw new ExportError(
        "root",
        `lines ${epoch.firstUnproven} to ${this.#lines - 1} are not what was signed at ${size} leaves`,
      );
    epoch.checkpoint = checkpoint;
    epoch.firstUnproven = this.#lines + 1;
  }

  #takeEnd(line: Line): void {
    const { end, ...rest } = line;
    this.#closeEpoch();
    const digest = this.#digest.digest("hex");
    const { decisions, events, payloads, sha256, ...more } = ((typeof end === "object" ? end : null) as Line) ?? {};
    const fits = isNumber(decisions) && isNumber(events) && isNumber(payloads) && typeof sha256 === "string";
    if (!fits || hasMembers(rest) || hasMembers(more)) throw new ExportError("format", "the last line is not an end");
    const counted = `${decisions} decisions, ${events} events, ${payloads} payloads`;
    const found = `${this.#totals.decisions} decisions, ${this.#totals.events} events, ${this.#totals.payloads} payloads`;
    if (counted !== found) throw new ExportError("digest", `the last line counts ${counted}; the file has ${found}`);
    if (sha256 !== digest)
      throw new ExportError("digest", "the bytes before the last line do not have the digest in it");
    this.#ended = true;
  }

  #mustBeInEpoch(): EpochState {
    if (this.#epoch === null) throw new ExportError("format", "the line comes before any epoch");
    return this.#epoch;
  }

  /** INVARIANT: a row is reported as proven only under a checkpoint that comes after it. */
  #closeEpoch(): void {
    if (this.#epoch === null) return;
    const { epoch, checkpoint, tree, rows, before, among, after, firstUnproven } = this.#epoch;
    if (checkpoint === null || checkpoint.size !== tree.size)
      throw new ExportError(
        "checkpoint",
        `lines ${firstUnproven} to ${this.#lines - 1} are not covered by a checkpoint`,
      );
    this.#epochs.push({ epoch, checkpoint, rows, leavesLeftOut: { before, among, after } });
    this.#epoch = null;
  }

  #problem(error: unknown): void {
    if (!(error instanceof ExportError || error instanceof ProofError)) throw error;
    // The steps of a proof that can fail here are steps of an export, too.
    this.problems.push({ line: this.#lines, step: error.step as ExportStep, message: error.message });
    if (this.problems.length >= MAX_PROBLEMS) this.#stopped = true;
  }
}

type Line = Readonly<Record<string, unknown>>;

function decode(raw: Buffer): string {
  if (raw.at(-1) !== NEWLINE) throw new ExportError("format", "the file is truncated: it ends within a line");
  if (!isUtf8(raw)) throw new ExportError("format", "the line is not UTF-8");
  return raw.toString("utf8", 0, raw.length - 1);
}

function readLine(text: string): Line {
  try {
    const value = parseJsonText(text, [], STRICTEST);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
    throw new ExportError("format", "the line is not an object");
  } catch (error) {
    if (error instanceof Undecodable) throw new ExportError("format", `the line ${error.message}`);
    throw error;
  }
}

function readRow<Row>(read: () => Row): Row {
  try {
    return read();
  } catch (error) {
    if (error instanceof RowError) throw new ExportError("format", error.message);
    throw error;
  }
}

function takeGap(line: Line, epoch: EpochState): void {
  const { gap: end, nodes, ...rest } = line;
  const { tree } = epoch;
  if (!isNumber(end) || end <= tree.size || !Array.isArray(nodes) || hasMembers(rest))
    throw new ExportError("format", `the gap does not describe the leaves from ${tree.size} on`);
  const subtrees = subtreesOf(tree.size, end);
  if (subtrees.length !== nodes.length)
    throw new ExportError("format", `the leaves up to ${end} are ${subtrees.length} subtrees, not ${nodes.length}`);
  epoch.after += end - tree.size;
  for (const [index, { level }] of subtrees.entries()) {
    const hash = fromHex(nodes[index], HASH_BYTES);
    if (hash === null) throw new ExportError("format", "a node is not a hash of 32 bytes in lower-case hex");
    tree.append(hash, undefined, level);
  }
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function hasMembers(rest: object): boolean {
  return Object.keys(rest).length > 0;
}
