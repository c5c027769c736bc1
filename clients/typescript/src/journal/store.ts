import type { JournalEntry } from "@datacrawl/core/journal-format";

/** A record that the service will never accept. */
export interface Refused {
  readonly hash: Uint8Array;
  readonly problem: string;
}

/** Where a journal's records are until the service has them. Called by one at a time. */
export interface JournalStore {
  /** Whether `append` can be durable. */
  readonly isDurable: boolean;
  /** What the kept records take. */
  readonly bytes: number;
  /** Kept records that the service has neither recorded nor refused. */
  readonly unsynced: number;
  /** Keeps all of `entries` or rejects and keeps none; with `durable`, they survive a power cut when it resolves. */
  append(entries: readonly JournalEntry[], durable: boolean): Promise<void>;
  /** Of one journal (not always this process's), its oldest records that are not settled: at most `limit`, empty if none. */
  oldest(limit: number): Promise<readonly JournalEntry[]>;
  /** Ends the upload of records that `oldest` returned last; other hashes are ignored. */
  settle(recorded: readonly Uint8Array[], refused: readonly Refused[]): Promise<void>;
  close(): Promise<void>;
}
