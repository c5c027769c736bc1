import { type Checkpoint, CheckpointError, epochOf, parseCheckpoint } from "../log/checkpoint.ts";
import { digestPayload, hashDecision } from "../row/hash.ts";
import { rowLeaf } from "../log/leaf.ts";
import { verifyConsistency, verifyInclusion } from "../log/merkle.ts";
import { NoteError, type NoteKey, verifyNote } from "../log/note.ts";
import type { DecisionRow } from "../row/record.ts";
import { decisionFromJson, decisionToJson, fromHex, type JsonRow, RowError, toHex } from "../row/row-json.ts";
import { parseJsonText, STRICTEST } from "../../core/json-text.ts";
import { Undecodable } from "../../core/undecodable.ts";

/** Proofs as files, and their verification by who trusts a public key and nothing else (docs/proof-format.md). */

/** What a payload is kept as, beside its row. */
export interface KeptPayload {
  /** 16 random bytes. */
  readonly salt: Uint8Array;
  /** Canonical JSON. */
  readonly canonical: string;
}

/** That a decision is a leaf of a tree that the log has signed. */
export interface DecisionProof {
  readonly row: DecisionRow;
  /** SHA-256 of the row, 32 bytes. */
  readonly hash: Uint8Array;
  /** Null if none was recorded, it was erased, or it was left out. */
  readonly payload: KeptPayload | null;
  readonly epoch: number;
  readonly leafIndex: number;
  /** From the leaf's sibling up; 32 bytes each. */
  readonly inclusionPath: readonly Uint8Array[];
  /** A signed note. */
  readonly checkpoint: string;
  /** The log's public keys as it says: no ground to trust them. */
  readonly verifierKeys: readonly string[];
}

/** That the tree of a checkpoint is a prefix of a later one's. */
export interface ConsistencyProof {
  /** Signed notes. */
  readonly first: string;
  readonly second: string;
  /** 32 bytes each. */
  readonly path: readonly Uint8Array[];
  readonly verifierKeys: readonly string[];
}

/** What is checked, in this order; the first that fails is reported. */
export type ProofStep = "format" | "row" | "payload" | "signature" | "checkpoint" | "inclusion" | "consistency";

/** A proof that does not hold, and the step at which that showed. */
export class ProofError extends Error {
  override readonly name = "ProofError";
  readonly step: ProofStep;

  constructor(step: ProofStep, message: string) {
    super(message);
    this.step = step;
  }
}

/** A checkpoint that a trusted key has signed, for the log whose name the key has. */
export interface SignedCheckpoint extends Checkpoint {
  readonly epoch: number;
  readonly signedBy: readonly NoteKey[];
}

export type Proven =
  | { readonly kind: "decision"; readonly proof: DecisionProof; readonly checkpoint: SignedCheckpoint }
  | { readonly kind: "consistency"; readonly first: SignedCheckpoint; readonly second: SignedCheckpoint };

const DECISION_FORMAT = "datacrawl.audit.proof.v1";
const CONSISTENCY_FORMAT = "datacrawl.audit.consistency.v1";
const HASH_BYTES = 32;

export function formatDecisionProof(proof: DecisionProof): Record<string, unknown> {
  return {
    format: DECISION_FORMAT,
    row: decisionToJson(proof.row),
    hash: toHex(proof.hash),
    payload: proof.payload === null ? null : payloadToJson(proof.payload),
    epoch: proof.epoch,
    leaf_index: proof.leafIndex,
    inclusion_path: proof.inclusionPath.map(toHex),
    checkpoint: proof.checkpoint,
    verifier_keys: proof.verifierKeys,
  };
}

export function formatConsistencyProof(proof: ConsistencyProof): Record<string, unknown> {
  return {
    format: CONSISTENCY_FORMAT,
    first: proof.first,
    second: proof.second,
    consistency_path: proof.path.map(toHex),
    verifier_keys: proof.verifierKeys,
  };
}

/**
 * Checks a proof of either kind.
 *
 * @param text the file
 * @param trusted the log's public keys, had from elsewhere than the file
 * @throws ProofError
 */
export function checkProof(text: string, trusted: readonly NoteKey[]): Proven {
  const members = membersOf(text);
  if (members["format"] === DECISION_FORMAT) return checkDecisionProof(members, trusted);
  if (members["format"] === CONSISTENCY_FORMAT) return checkConsistencyProof(members, trusted);
  throw new ProofError("format", `the format is neither ${DECISION_FORMAT} nor ${CONSISTENCY_FORMAT}`);
}

/**
 * The checkpoint in a signed note.
 *
 * @throws ProofError signature, checkpoint
 */
export function checkCheckpoint(unverifiedNote: string, trusted: readonly NoteKey[]): SignedCheckpoint {
  try {
    const { text, signedBy } = verifyNote(unverifiedNote, trusted);
    const checkpoint = parseCheckpoint(text);
    const stranger = signedBy.find(({ name }) => name !== checkpoint.origin);
    if (stranger !== undefined)
      throw new CheckpointError(`it is of the log ${checkpoint.origin}, and signed by the key of ${stranger.name}`);
    return { ...checkpoint, epoch: epochOf(checkpoint), signedBy };
  } catch (error) {
    if (error instanceof NoteError) throw new ProofError("signature", `the checkpoint: ${error.message}`);
    if (error instanceof CheckpointError) throw new ProofError("checkpoint", `the checkpoint: ${error.message}`);
    throw error;
  }
}

/** @throws ProofError payload, if it is not the payload that the row is about */
export function checkPayload(row: DecisionRow, unverified: KeptPayload): void {
  const digest = digestPayload(unverified.salt, unverified.canonical);
  if (row.payloadDigest === null || !digest.equals(row.payloadDigest))
    throw new ProofError("payload", `the payload is not the one that decision ${row.decisionId} was about`);
}

/** @throws ProofError format */
export function payloadFromJson(value: unknown): KeptPayload | null {
  if (value === null) return null;
  const { salt, canonical, ...rest } = objectOf(value, "payload");
  const bytes = fromHex(salt);
  if (bytes === null || typeof canonical !== "string" || Object.keys(rest).length > 0)
    throw new ProofError("format", "the payload is not a salt in hex and a canonical text");
  return { salt: bytes, canonical };
}

export function payloadToJson({ salt, canonical }: KeptPayload): JsonRow {
  return { salt: toHex(salt), canonical };
}

function checkDecisionProof(members: Record<string, unknown>, trusted: readonly NoteKey[]): Proven {
  const proof = readDecisionProof(members);
  const { row, hash, payload, epoch, leafIndex: index } = proof;
  if (!hashDecision(row).equals(hash))
    throw new ProofError("row", `the columns of decision ${row.decisionId} do not have the hash ${toHex(hash)}`);
  if (payload !== null) checkPayload(row, payload);
  const checkpoint = checkCheckpoint(proof.checkpoint, trusted);
  if (checkpoint.epoch !== epoch)
    throw new ProofError("checkpoint", `the checkpoint is of epoch ${checkpoint.epoch}, the leaf of epoch ${epoch}`);
  const { size, root } = checkpoint;
  if (!verifyInclusion({ leafHash: rowLeaf("decisions", hash), index, size, root }, proof.inclusionPath))
    throw new ProofError(
      "inclusion",
      `the decision is not leaf ${index} of the tree of ${size} leaves that was signed`,
    );
  return { kind: "decision", proof, checkpoint };
}

function checkConsistencyProof(members: Record<string, unknown>, trusted: readonly NoteKey[]): Proven {
  checkMembers(members, ["format", "first", "second", "consistency_path", "verifier_keys"]);
  const path = pathOf(members, "consistency_path");
  const [firstNote, secondNote] = [textOf(members, "first"), textOf(members, "second")];
  checkKeys(members);
  const first = checkCheckpoint(firstNote, trusted);
  const second = checkCheckpoint(secondNote, trusted);
  if (first.origin !== second.origin || first.epoch !== second.epoch)
    throw new ProofError("checkpoint", "the checkpoints are of different logs or epochs");
  if (!verifyConsistency(first, second, path))
    throw new ProofError(
      "consistency",
      `the tree of ${first.size} leaves is not shown to be the beginning of that of ${second.size}`,
    );
  return { kind: "consistency", first, second };
}

function readDecisionProof(members: Record<string, unknown>): DecisionProof {
  checkMembers(members, [
    "format",
    "row",
    "hash",
    "payload",
    "epoch",
    "leaf_index",
    "inclusion_path",
    "checkpoint",
    "verifier_keys",
  ]);
  const hash = fromHex(members["hash"], HASH_BYTES);
  if (hash === null) throw new ProofError("format", "hash is not 32 bytes in lower-case hex");
  return {
    row: readRow(members["row"]),
    hash,
    payload: payloadFromJson(members["payload"]),
    epoch: countOf(members, "epoch"),
    leafIndex: countOf(members, "leaf_index"),
    inclusionPath: pathOf(members, "inclusion_path"),
    checkpoint: textOf(members, "checkpoint"),
    verifierKeys: checkKeys(members),
  };
}

function readRow(value: unknown): DecisionRow {
  try {
    return decisionFromJson(value);
  } catch (error) {
    if (error instanceof RowError) throw new ProofError("format", error.message);
    throw error;
  }
}

function membersOf(text: string): Record<string, unknown> {
  try {
    return objectOf(parseJsonText(text, [], STRICTEST), "proof");
  } catch (error) {
    if (error instanceof Undecodable) throw new ProofError("format", `the proof ${error.message}`);
    throw error;
  }
}

function objectOf(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ProofError("format", `the ${name} is not an object`);
}

function checkMembers(members: Record<string, unknown>, names: readonly string[]): void {
  const missing = names.find((name) => !Object.hasOwn(members, name));
  if (missing !== undefined) throw new ProofError("format", `${missing} is missing`);
  const unknown = Object.keys(members).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new ProofError("format", `${JSON.stringify(unknown.slice(0, 40))} is unknown`);
}

function countOf(members: Record<string, unknown>, name: string): number {
  const value = members[name];
  if (typeof value === "number" && value >= 0) return value;
  throw new ProofError("format", `${name} is not a count`);
}

function textOf(members: Record<string, unknown>, name: string): string {
  const value = members[name];
  if (typeof value === "string") return value;
  throw new ProofError("format", `${name} is not a text`);
}

function pathOf(members: Record<string, unknown>, name: string): Buffer[] {
  const hashes = members[name];
  const path = Array.isArray(hashes) ? hashes.map((hash) => fromHex(hash, HASH_BYTES)) : [null];
  if (path.every((hash) => hash !== null)) return path;
  throw new ProofError("format", `${name} is not a list of hashes of 32 bytes in lower-case hex`);
}

function checkKeys(members: Record<string, unknown>): string[] {
  const keys = members["verifier_keys"];
  if (Array.isArray(keys) && keys.every((key) => typeof key === "string")) return keys;
  throw new ProofError("format", "verifier_keys is not a list of texts");
}
