import { noteSigner } from "../log/keys.ts";
import { type NoteKey, signNote, verifyNote } from "../log/note.ts";
import type { SigningKeys } from "../../keys/key-files.ts";

/** A place in the trees, one after another. */
export interface Place {
  readonly epoch: number;
  readonly size: number;
}

/**
 * An operator's word that checkpoints which were published are lost: all after `kept`, up to `lost`. It is signed with the audit
 * key: otherwise an attacker with write access to the database could forge it and hide the rollback.
 */
export interface Acknowledgement {
  /** Which is opened by it. */
  readonly epoch: number;
  /** The newest published checkpoint that the database still has; 0 and 0 if it has none. */
  readonly kept: Place;
  /** The newest that it has not. */
  readonly lost: Place & { readonly root: Uint8Array };
}

const TEXT = /^(.+)\nepoch (\d+)\nkept (\d+) (\d+)\nlost (\d+) (\d+) (\S+)\n$/;

/** A signed note. (Not to be taken for a checkpoint: its first line is another, and its second no number.) */
export function signAcknowledgement(origin: string, acknowledgement: Acknowledgement, keys: SigningKeys): string {
  const { epoch, kept, lost } = acknowledgement;
  const root = Buffer.from(lost.root).toString("base64");
  const lines = [
    titleOf(origin),
    `epoch ${epoch}`,
    `kept ${kept.epoch} ${kept.size}`,
    `lost ${lost.epoch} ${lost.size} ${root}`,
  ];
  return signNote(`${lines.join("\n")}\n`, [noteSigner(origin, keys)]);
}

/** Null unless a trusted key signed it, for the log whose name the key has. */
export function acknowledgementIn(unverifiedNote: string, trusted: readonly NoteKey[]): Acknowledgement | null {
  const verified = verifiedOf(unverifiedNote, trusted);
  const [, title, epoch, keptEpoch, keptSize, lostEpoch, lostSize, root] = TEXT.exec(verified?.text ?? "") ?? [];
  if (root === undefined || !verified?.signedBy.some(({ name }) => titleOf(name) === title)) return null;
  return {
    epoch: Number(epoch),
    kept: { epoch: Number(keptEpoch), size: Number(keptSize) },
    lost: { epoch: Number(lostEpoch), size: Number(lostSize), root: Buffer.from(root, "base64") },
  };
}

function verifiedOf(unverifiedNote: string, trusted: readonly NoteKey[]) {
  try {
    return verifyNote(unverifiedNote, trusted);
  } catch {
    return null;
  }
}

/** Whether it covers the loss of what was published at that place. */
export function coversLossOf({ kept, lost }: Acknowledgement, place: Place): boolean {
  return isAfter(place, kept) && !isAfter(place, lost);
}

/** Whether `place` is the later of the two. */
export function isAfter(place: Place, other: Place): boolean {
  return place.epoch > other.epoch || (place.epoch === other.epoch && place.size > other.size);
}

function titleOf(origin: string): string {
  return `${origin} rollback`;
}
