import { hex, type JournalEntry } from "@datacrawl/core/journal-format";
import type { JournalStore } from "./store.ts";

/** Records without a disk: they end with the process, so nothing can be kept durably, and so nothing can be bypassed. */
export function memoryStore(): JournalStore {
  let kept: JournalEntry[] = [];
  let bytes = 0;
  return {
    isDurable: false,
    get bytes() {
      return bytes;
    },
    get unsynced() {
      return kept.length;
    },
    async append(entries) {
      kept.push(...entries);
      bytes += sizeOf(entries);
    },
    async oldest(limit) {
      return kept.slice(0, limit);
    },
    async settle(recorded, refused) {
      const settled = new Set([...recorded, ...refused.map(({ hash }) => hash)].map(hex));
      kept = kept.filter((entry) => !settled.has(hex(entry.hash)));
      bytes = sizeOf(kept);
    },
    async close() {},
  };
}

function sizeOf(entries: readonly JournalEntry[]): number {
  return entries.reduce((sum, entry) => sum + entry.body.length, 0);
}
