import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { hex, type JournalEntry, readBody } from "@datacrawl/core/journal-format";

/** Records that the service will never accept, kept in `refused.log` for people, and so that they are not sent again. */
export interface RefusedLog {
  /** Hex hashes. */
  readonly hashes: ReadonlySet<string>;
  /** Durable when it resolves. A deny is not kept once the file is full; a bypass, its start and its end always are. */
  keep(entry: JournalEntry, problem: string): Promise<void>;
  /** Reads what other processes have added. */
  reload(): Promise<void>;
}

export async function openRefusedLog(dir: string, maxBytes: number): Promise<RefusedLog> {
  const path = join(dir, "refused.log");
  const hashes = new Set<string>();
  const log: RefusedLog = {
    hashes,
    async keep(entry, problem) {
      const file = await open(path, "a", 0o600);
      try {
        const isFull = (await file.stat()).size >= maxBytes;
        if (!isFull || !isDeny(entry)) await file.write(lineOf(entry, problem));
        await file.sync();
      } finally {
        await file.close();
      }
      hashes.add(hex(entry.hash));
    },
    async reload() {
      const lines = await readFile(path, "utf8").catch(() => "");
      for (const [start] of lines.matchAll(/^[0-9a-f]{64} /gm)) hashes.add(start.trimEnd());
    },
  };
  await log.reload();
  return log;
}

function isDeny(entry: JournalEntry): boolean {
  const record = readBody(entry.body);
  return !("kind" in record) || record.kind === "deny";
}

/** Hash, problem as a JSON string, and body. A line break before, so that a torn line does not swallow this one. */
function lineOf(entry: JournalEntry, problem: string): string {
  return `\n${hex(entry.hash)} ${JSON.stringify(problem)} ${Buffer.from(entry.body).toString("utf8")}`;
}
