import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { sha256 } from "../../core/sha256.ts";

/**
 * Signed notes (c2sp.org/signed-note) with Ed25519: a text, an empty line, and a line for each signature. Stricter than the
 * specification where it leaves a choice: one spelling of base64, and bounds on the size.
 */

/** A public key and the name that it signs under. */
export interface NoteKey {
  readonly name: string;
  /** What signature lines name the key by: four bytes, as a number. */
  readonly id: number;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

export interface NoteSigner {
  readonly key: NoteKey;
  readonly privateKey: KeyObject;
}

export interface NoteSignature {
  readonly name: string;
  readonly keyId: number;
  readonly signature: Uint8Array;
}

/** A note as it was read. No signature has been verified. */
export interface UnverifiedNote {
  /** With its last newline: the bytes that are signed. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Why a note is not accepted: it is malformed, no trusted key signed it, or a trusted key's signature is wrong. */
export type NoteProblem = "malformed" | "untrusted" | "bad_signature";

export class NoteError extends Error {
  override readonly name = "NoteError";
  readonly problem: NoteProblem;

  constructor(problem: NoteProblem, message: string) {
    super(message);
    this.problem = problem;
  }
}

const ED25519 = Buffer.of(1);
const PUBLIC_KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const MAX_SIGNATURES = 100;
const MAX_CHARACTERS = 1 << 20;
/** Unicode's spaces, plus, and what a note cannot hold at all. */
const FORBIDDEN_IN_NAMES = /[\s\u0085+\u0000-\u001f]/;
const FORBIDDEN_IN_NOTES = /[\u0000-\u0009\u000b-\u001f]/;
const SIGNATURE_LINE = /^\u2014 (\S+) (\S+)$/;

/** @throws NoteError if the name cannot stand in a note, or the key is not 32 bytes */
export function noteKey(name: string, publicKey: Uint8Array): NoteKey {
  checkName(name);
  if (publicKey.length !== PUBLIC_KEY_BYTES)
    throw malformed(`an Ed25519 public key has ${PUBLIC_KEY_BYTES} bytes, not ${publicKey.length}`);
  const named = Buffer.concat([Buffer.from(`${name}\n`), ED25519, publicKey]);
  return { name, id: sha256(named).readUInt32BE(0), publicKey };
}

/** A public key as text: `<name>+<key id in hex>+<base64 of type and key>`. */
export function formatVkey({ name, id, publicKey }: NoteKey): string {
  return `${name}+${hexId(id)}+${Buffer.concat([ED25519, publicKey]).toString("base64")}`;
}

/** @throws NoteError if `text` is not a public key, or its id is not that key's */
export function parseVkey(text: string): NoteKey {
  const match = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text);
  if (match === null) throw malformed("a verifier key looks like name+0123abcd+base64");
  const [, name, id, encoded] = match as unknown as [string, string, string, string];
  const bytes = fromBase64(encoded);
  if (bytes === null || bytes[0] !== ED25519[0]) throw malformed(`the verifier key ${name}+${id} is not Ed25519`);
  const key = noteKey(name, bytes.subarray(1));
  if (hexId(key.id) !== id) throw malformed(`the verifier key ${name}+${id} has the id ${hexId(key.id)}`);
  return key;
}

/**
 * @param text ends in a newline
 * @throws NoteError if it cannot be a note's text
 */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  checkText(text);
  const lines = signers.map(({ key, privateKey }) => {
    const id = Buffer.alloc(4);
    id.writeUInt32BE(key.id);
    const signature = sign(null, Buffer.from(text), privateKey);
    return `\u2014 ${key.name} ${Buffer.concat([id, signature]).toString("base64")}\n`;
  });
  return `${text}\n${lines.join("")}`;
}

/** @throws NoteError if `note` is malformed */
export function parseNote(note: string): UnverifiedNote {
  if (note.length > MAX_CHARACTERS) throw malformed("the note is larger than a megabyte");
  const split = note.lastIndexOf("\n\n");
  if (split < 0) throw malformed("the note has no empty line before its signatures");
  const text = note.slice(0, split + 1);
  checkText(text);
  const lines = note.slice(split + 2);
  if (!lines.endsWith("\n")) throw malformed("the note does not end in a newline after a signature");
  const signatures = lines.slice(0, -1).split("\n");
  if (signatures.length > MAX_SIGNATURES) throw malformed(`the note has more than ${MAX_SIGNATURES} signatures`);
  return { text, signatures: signatures.map(parseSignature) };
}

/**
 * The text of `unverifiedNote` and the trusted keys that signed it: one at least, and none of them wrongly. Signatures by
 * other keys say nothing.
 *
 * @throws NoteError
 */
export function verifyNote(
  unverifiedNote: string,
  trusted: readonly NoteKey[],
): { readonly text: string; readonly signedBy: readonly NoteKey[] } {
  const { text, signatures } = parseNote(unverifiedNote);
  const signedBy = signatures.flatMap((signature) => {
    const known = trusted.filter(({ name, id }) => name === signature.name && id === signature.keyId);
    if (known.length === 0) return [];
    const signer = known.find((key) => isSignedBy(key, text, signature.signature));
    if (signer === undefined)
      throw new NoteError("bad_signature", `the signature by ${keyName(signature)} is not that key's over this text`);
    return [signer];
  });
  if (signedBy.length > 0) return { text, signedBy };
  const names = signatures.map(keyName).join(", ");
  throw new NoteError("untrusted", `no trusted key signed the note; it is signed by ${names}`);
}

function isSignedBy({ publicKey }: NoteKey, text: string, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false;
  const x = Buffer.from(publicKey).toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  return verify(null, Buffer.from(text), key, signature);
}

function parseSignature(line: string): NoteSignature {
  const [, name, encoded] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = encoded === undefined ? null : fromBase64(encoded);
  if (name === undefined || bytes === null || bytes.length < 5)
    throw malformed("a line after the note's last empty line is not a signature");
  checkName(name);
  return { name, keyId: bytes.readUInt32BE(0), signature: bytes.subarray(4) };
}

function checkName(name: string): void {
  if (name === "" || FORBIDDEN_IN_NAMES.test(name) || !name.isWellFormed())
    throw malformed("a key's name must not be empty, nor hold spaces or plus");
}

function checkText(text: string): void {
  if (!text.endsWith("\n")) throw malformed("a note's text ends in a newline");
  if (FORBIDDEN_IN_NOTES.test(text) || !text.isWellFormed())
    throw malformed("a note is UTF-8 without control characters but newlines");
}

/** Null unless `text` is the one way to write its bytes. */
function fromBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : null;
}

function keyName({ name, keyId }: NoteSignature): string {
  return `${name}+${hexId(keyId)}`;
}

function hexId(id: number): string {
  return id.toString(16).padStart(8, "0");
}

function malformed(message: string): NoteError {
  return new NoteError("malformed", message);
}
