import { messageOf } from "../../core/fault.ts";
import type { SigningKeys } from "../../keys/key-files.ts";
import { isAfter, type Place } from "./acknowledgement.ts";
import type { ChangeDirectory } from "./change-directory.ts";
import {
  type AccessChange,
  type ChangeList,
  changeListIn,
  ChangeListError,
  signChangeList,
  sizeOf,
} from "./change-list.ts";
import { noteKeys } from "../log/keys.ts";
import type { NoteKey } from "../log/note.ts";

/** What the published lists say about a stretch of the tree. */
export interface PublishedChanges {
  /** In the order of the tree. */
  readonly changes: readonly AccessChange[];
  /** Why there may be more; null if these are all. */
  readonly incomplete: string | null;
}

export interface ChangeStore {
  /** Sealed changes after `after`, up to `upTo`, in the order of the tree. */
  between(after: Place, upTo: Place, limit: number): Promise<AccessChange[]>;
}

export interface ChangePublisherOptions {
  readonly directory: ChangeDirectory;
  readonly store: ChangeStore;
  readonly origin: string;
  readonly keys: () => Promise<SigningKeys>;
}

/** A list is written for so many rows also if nothing has changed in them, so that nobody searches more than these again. */
const ROWS_WITHOUT_LIST = 65_536;
const CHANGES_AT_ONCE = 1000;
/** A note has at most a megabyte. */
const LIST_CHARACTERS = 500_000;
const NOWHERE: Place = { epoch: 0, size: 0 };

/** Publishes what changes who may do what, beside the checkpoints, and reads it when the database has forgotten it. */
export class ChangePublisher {
  readonly #options: ChangePublisherOptions;
  /** After the newest list and up to here, nothing has changed. */
  #searched: Place = NOWHERE;

  constructor(options: ChangePublisherOptions) {
    this.#options = options;
  }

  /**
   * Lists all changes up to the checkpoint at `upTo`. To be called before that is published: what is published then has its
   * changes beside it.
   *
   * @param published the newest checkpoint that is published. From there on the first list has the changes.
   * @throws what kept it from reading or writing
   */
  async publish(published: Place, upTo: Place): Promise<void> {
    for (;;) {
      const newest = await this.#newest();
      const after = newest === null ? published : newest.upTo;
      if (!isAfter(upTo, after)) return;
      const since = isAfter(this.#searched, after) ? this.#searched : after;
      const found = await this.#options.store.between(since, upTo, CHANGES_AT_ONCE);
      if (newest !== null && found.length === 0 && isNear(after, upTo)) {
        this.#searched = upTo;
        return;
      }
      const changes = upToCharacters(found);
      const last = changes.at(-1);
      const isWhole = changes.length === found.length && found.length < CHANGES_AT_ONCE;
      const end = isWhole || last === undefined ? upTo : { epoch: last.epoch, size: last.seq + 1 };
      // Of two replicas one takes the number; the other finds its list then.
      await this.#write({ number: (newest?.number ?? 0) + 1, after, upTo: end, changes });
    }
  }

  /** What the lists say about the rows after `kept`, up to `lost`. Never rejects. */
  async changesAfter(kept: Place, lost: Place): Promise<PublishedChanges> {
    const lists: ChangeList[] = [];
    const incomplete = await this.#read(kept, lists).catch((error: unknown) => messageOf(error));
    const changes = lists.reverse().flatMap((list) => list.changes);
    const isLost = ({ epoch, seq }: AccessChange): boolean => {
      const place = { epoch, size: seq + 1 };
      return isAfter(place, kept) && !isAfter(place, lost);
    };
    return { changes: changes.filter(isLost), incomplete };
  }

  /** Reads lists, the newest first, until one begins at `kept` or before. @returns why that one was not reached, or null */
  async #read(kept: Place, lists: ChangeList[]): Promise<string | null> {
    const trusted = await this.#trusted();
    let later: ChangeList | null = null;
    for await (const { number, note } of this.#options.directory.newestFirst()) {
      const list = changeListIn(note, trusted);
      if (list.number !== number || (later !== null && !isBefore(list, later)))
        return `the list of changes ${number} is not the one that was published under this number`;
      lists.push(list);
      if (!isAfter(list.after, kept)) return null;
      later = list;
    }
    return later === null
      ? "no list of changes is published"
      : "changes before the oldest list were not published (by an older version of DataCrawl, or to another directory)";
  }

  async #newest(): Promise<ChangeList | null> {
    const newest = await this.#options.directory.newest();
    if (newest === null) return null;
    const list = changeListIn(newest.note, await this.#trusted());
    if (list.number !== newest.number) throw new ChangeListError(`the list of changes ${newest.number} is another one`);
    return list;
  }

  async #write(list: ChangeList): Promise<void> {
    const { directory, origin, keys } = this.#options;
    await directory.add({ number: list.number, note: signChangeList(origin, list, await keys()) });
  }

  async #trusted(): Promise<NoteKey[]> {
    const { origin, keys } = this.#options;
    return noteKeys(origin, await keys());
  }
}

/** Whether `later` goes on where `list` ends. */
function isBefore(list: ChangeList, later: ChangeList): boolean {
  const { upTo } = list;
  return list.number + 1 === later.number && upTo.epoch === later.after.epoch && upTo.size === later.after.size;
}

function isNear(after: Place, upTo: Place): boolean {
  return after.epoch === upTo.epoch && upTo.size - after.size < ROWS_WITHOUT_LIST;
}

/** The first of `changes`, at least one if there are any, that fit into a note. */
function upToCharacters(changes: readonly AccessChange[]): AccessChange[] {
  let characters = 0;
  const end = changes.findIndex((change) => (characters += sizeOf(change)) > LIST_CHARACTERS);
  return changes.slice(0, end < 0 ? changes.length : Math.max(1, end));
}
