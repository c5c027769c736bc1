import type { SigningKeys } from "../../keys/key-files.ts";
import { type NoteKey, noteKey, type NoteSigner } from "./note.ts";

/** The public keys of the log `origin`, oldest first; each but the first is signed by the one before it. */
export function noteKeys(origin: string, keys: SigningKeys): NoteKey[] {
  return keys.chain.map(({ publicKey }) => noteKey(origin, publicKey));
}

/** The key that signs now. */
export function noteSigner(origin: string, { signing }: SigningKeys): NoteSigner {
  return { key: noteKey(origin, signing.publicKey), privateKey: signing.privateKey };
}
