import type { HashedEvent } from "../audit/row/event.ts";
import type { EntryKind } from "../audit/write/group-writer.ts";
import type { Micros } from "../core/clock.ts";
import type { Execution, ExecutionEnd } from "../execution/execution.ts";
import type { StartEntry, EndEntry } from "../store/execution-entries.ts";

/** Where starts and outcomes become durable, as {@link EntryKind.write}; what was written by its event's id. */
export interface ExecutionBatches {
  startBatch(entries: readonly StartEntry[]): Promise<ReadonlyMap<string, true>>;
  endBatch(entries: readonly EndEntry[]): Promise<ReadonlyMap<string, true>>;
}

export function startKind(store: ExecutionBatches): EntryKind<StartEntry, true> {
  return { ...COMMON, noun: "start", write: (entries) => store.startBatch(entries) };
}

export function endKind(store: ExecutionBatches): EntryKind<EndEntry, true> {
  return { ...COMMON, noun: "outcome", write: (entries) => store.endBatch(entries) };
}

type Either = Pick<StartEntry | EndEntry, "execution" | "event">;

const COMMON = {
  idOf: ({ event }: Either) => event.row.eventId,
  agentOf: ({ execution }: Either) => execution.agentId,
  claimOf: ({ execution }: Either) => execution.decisionId,
  sizeOf: ({ event }: Either) => event.row.detail.length,
  decisionOf: ({ execution }: Either) => execution.decisionId,
};
