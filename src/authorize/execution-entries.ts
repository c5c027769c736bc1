import type { EntryKind } from "../audit/write/group-writer.ts";
import type { StartEntry, EndEntry } from "../store/execution-entries.ts";
import type { SqlExecutionStore } from "../store/executions.ts";

export function startKind(store: Pick<SqlExecutionStore, "startBatch">): EntryKind<StartEntry, true> {
  return { ...COMMON, noun: "start", write: (entries) => store.startBatch(entries) };
}

export function endKind(store: Pick<SqlExecutionStore, "endBatch">): EntryKind<EndEntry, true> {
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
