import type { Micros } from "../../core/clock.ts";
import type { ReviewTerms } from "../../core/decision.ts";
import type { DecisionRow } from "../row/record.ts";
import { type EntryKind, GroupWriter, type WriterLimits, type WriterObserver } from "./group-writer.ts";

/** What is to be recorded together or not at all: a row, what it was judged on, and the key that it claims. */
export interface Entry {
  readonly row: DecisionRow;
  /** SHA-256 of the row. */
  readonly hash: Uint8Array;
  /** The judged payload, kept apart from the row so that it may be erased. */
  readonly payload: { readonly salt: Uint8Array; readonly canonical: string } | null;
  /**
   * The claim that the row makes on (agent, idempotency key, variant): it is written only if nobody holds that claim.
   * Null for a row that claims nothing and is always written.
   */
  readonly claim: { readonly variant: Uint8Array } | null;
  /** The review that the row opens under its review id; null if it opens none. */
  readonly review: ReviewTerms | null;
}

/** Where entries become durable. */
export interface RecordStore {
  /** As {@link EntryKind.write}, by decision id. */
  recordBatch(entries: readonly Entry[]): Promise<ReadonlyMap<string, Written>>;
}

/** An entry that is durable. */
export interface Written {
  /**
   * When its claim expires, by the store's clock; null if it made none or opened a review (such claims last longer, and are not
   * remembered), or if the store was lost before it could answer.
   */
  readonly claimExpiresAt: Micros | null;
}

/** Records decisions, many in one commit. */
export class RecordWriter extends GroupWriter<Entry, Written> {
  constructor(store: RecordStore, monotonic: () => number, observer: WriterObserver, limits?: WriterLimits) {
    super(kindOf(store), monotonic, observer, limits);
  }
}

function kindOf(store: RecordStore): EntryKind<Entry, Written> {
  return {
    noun: "decision",
    write: (entries) => store.recordBatch(entries),
    idOf: ({ row }) => row.decisionId,
    agentOf: ({ row }) => row.agentId,
    claimOf: claimKey,
    sizeOf: ({ payload }) => payload?.canonical.length ?? 0,
    decisionOf: ({ row }) => row.decisionId,
  };
}

function claimKey({ row, claim }: Entry): string | null {
  if (claim === null) return null;
  return `${row.agentId} ${Buffer.from(claim.variant).toString("latin1")} ${row.idempotencyKey}`;
}
