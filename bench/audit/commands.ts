import { readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { datacrawl, type Prepared } from "../peers/datacrawl.ts";
import { cpuSecondsOfTree } from "../support/procfs.ts";
import type { Usage } from "./usage.ts";

/** What a command over the whole trail took. Its own process and the database's are told apart. */
export interface CommandResult extends Usage {
  readonly rows: number;
  readonly postgresCpuSeconds: number;
  /** Of the file that it wrote; 0 if none. */
  readonly fileBytes: number;
}

/** `datacrawl audit verify --full`, by itself: at full speed, as on a machine of its own. */
export async function measureVerification(prepared: Prepared, postgres: number, rows: number): Promise<CommandResult> {
  const { out, ...used } = await measured(prepared, postgres, ["audit", "verify", "--full", "--json"]);
  const run = JSON.parse(out) as { state: string; rows: number };
  if (run.state !== "passed" || run.rows < rows) throw new Error(`the verification did not pass: ${out}`);
  return { ...used, rows: run.rows, fileBytes: 0 };
}

/** `datacrawl audit export` of everything with its payloads, unpacked. */
export async function measureExport(prepared: Prepared, postgres: number, rows: number): Promise<CommandResult> {
  const file = join(prepared.environment["DATACRAWL_DATA_DIR"]!, "export.jsonl");
  const { out: _, ...used } = await measured(prepared, postgres, ["audit", "export", "--payloads", "--out", file]);
  const fileBytes = statSync(file).size;
  rmSync(file);
  return { ...used, rows, fileBytes };
}

async function measured(
  prepared: Prepared,
  postgres: number,
  args: readonly string[],
): Promise<Usage & { readonly postgresCpuSeconds: number; readonly out: string }> {
  const data = prepared.environment["DATACRAWL_DATA_DIR"]!;
  const usageFile = join(data, "usage.json");
  const before = cpuSecondsOfTree(postgres);
  const out = await datacrawl(prepared, args, {
    // Where no service has its socket, so that the command does the work itself.
    DATACRAWL_DATA_DIR: join(data, "apart"),
    DATACRAWL_KEYS_DIR: join(data, "keys"),
    NODE_OPTIONS: `--import=${pathToFileURL(join(import.meta.dirname, "usage.ts")).href}`,
    BENCH_USAGE_FILE: usageFile,
  });
  const postgresCpuSeconds = cpuSecondsOfTree(postgres) - before;
  return { ...(JSON.parse(readFileSync(usageFile, "utf8")) as Usage), postgresCpuSeconds, out };
}
