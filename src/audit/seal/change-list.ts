import { canonicalJson } from "../../core/canonical-json.ts";
import type { Micros } from "../../core/clock.ts";
import type { SigningKeys } from "../../keys/key-files.ts";
import { either, isCount, isNull, isPositive, isString, isUuid, object } from "../../core/shape.ts";
import type { Place } from "./acknowledgement.ts";
import { noteSigner } from "../log/keys.ts";
import { type NoteKey, signNote, verifyNote } from "../log/note.ts";
import { parseJsonText, STRICTEST } from "../../core/json-text.ts";

/** Events that say who may do what. A database that is rolled back forgets them, so they are published outside it. */
export const ACCESS_CHANGES = [
  "agent.created",
  "agent.key_created",
  "agent.key_revoked",
  "agent.revoked",
  "agent.frozen",
  "agent.unfrozen",
  "operator.added",
  "operator.removed",
  "operator.role_set",
  "operator.password_set",
  "operator.totp_enabled",
  "operator.totp_disabled",
  "bypass.set",
  "bypass.cleared",
  "circuit.forced_open",
  "circuit.reset",
  "review.withdrawn",
] as const;
export type AccessChangeKind = (typeof ACCESS_CHANGES)[number];

/** A sealed event of one of the {@link ACCESS_CHANGES}. */
export interface AccessChange {
  readonly eventId: string;
  /** Its place in the tree. */
  readonly epoch: number;
  readonly seq: number;
  readonly recordedAt: Micros;
  /** A later version may publish kinds that this one does not know. */
  readonly kind: string;
  readonly actor: string;
  readonly subject: string | null;
  /** Canonical JSON. */
  readonly detail: string;
}

/** The changes of one stretch of the tree: of the rows after `after`, up to `upTo`. Lists are numbered from 1 without gaps. */
export interface ChangeList {
  readonly number: number;
  readonly after: Place;
  readonly upTo: Place;
  /** In the order of the tree. */
  readonly changes: readonly AccessChange[];
}

const TEXT = /^(.+)\n(\d{1,15})\nafter (\d{1,15}) (\d{1,15})\nup to (\d{1,15}) (\d{1,15})\n((?:\{[^\n]*\}\n)*)$/;

/** A signed note. (Not to be taken for a checkpoint or an acknowledgement: its first line is another.) */
export function signChangeList(
  origin: string,
  { number, after, upTo, changes }: ChangeList,
  keys: SigningKeys,
): string {
  const lines = [
    titleOf(origin),
    String(number),
    `after ${after.epoch} ${after.size}`,
    `up to ${upTo.epoch} ${upTo.size}`,
    ...changes.map(lineOf),
  ];
  return signNote(`${lines.join("\n")}\n`, [noteSigner(origin, keys)]);
}

/** @throws NoteError or ChangeListError unless a trusted key signed it, for the log whose name the key has */
export function changeListIn(unverifiedNote: string, trusted: readonly NoteKey[]): ChangeList {
  const { text, signedBy } = verifyNote(unverifiedNote, trusted);
  const match = TEXT.exec(text);
  if (match === null || !signedBy.some(({ name }) => titleOf(name) === match[1]))
    throw new ChangeListError("the note is not a list of changes of this log");
  const [number, afterEpoch, afterSize, epoch, size] = match.slice(2, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const changes = (match[7] as string).split("\n").slice(0, -1).map(changeOf);
  return { number, after: { epoch: afterEpoch, size: afterSize }, upTo: { epoch, size }, changes };
}

export class ChangeListError extends Error {
  override readonly name = "ChangeListError";
}

/** About as many characters as one change takes in a list. */
export function sizeOf(change: AccessChange): number {
  return lineOf(change).length;
}

function lineOf({ eventId, epoch, seq, recordedAt, kind, actor, subject, detail }: AccessChange): string {
  const change = { actor, at_us: recordedAt, detail, epoch, event_id: eventId, kind, seq, subject };
  return canonicalJson(change, "change", 4);
}

const isLine = object({
  actor: isString,
  at_us: isPositive,
  detail: isString,
  epoch: isPositive,
  event_id: isUuid,
  kind: isString,
  seq: isCount,
  subject: either(isString, isNull),
});

function changeOf(line: string): AccessChange {
  const change = parseJsonText(line, [], STRICTEST);
  if (!isLine(change)) throw new ChangeListError("a line of the list is not a change");
  const { event_id: eventId, at_us: recordedAt, epoch, seq, kind, actor, subject, detail } = change;
  return { eventId, epoch, seq, recordedAt, kind, actor, subject, detail };
}

function titleOf(origin: string): string {
  return `${origin} changes`;
}
