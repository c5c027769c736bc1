import { parentPort, workerData } from "node:worker_threads";
import { PGlite, type Results } from "@electric-sql/pglite";
import type { SqlParam } from "./database.ts";
import type { SqlErrorOptions } from "./sql-error.ts";
import { messageOf } from "../../core/fault.ts";
import { PARSERS, UnreadableValue, VALUE_SETTINGS } from "./values.ts";

/** One statement, or without `params` a script of several. */
export interface EmbeddedRequest {
  readonly id: number;
  readonly text: string;
  readonly params: readonly SqlParam[] | null;
}

export type EmbeddedResponse =
  | { readonly id: number; readonly rows: unknown[]; readonly affected: number | undefined }
  | ({ readonly id: number; readonly problem: string } & Pick<SqlErrorOptions, "sqlState" | "outcome">);

// PGlite computes on the thread that calls it, so it has this one to itself. It runs one statement at a time, in order.
const { directory } = workerData as { directory: string };
const database = await PGlite.create(directory, { parsers: Object.fromEntries(PARSERS) });
await database.exec(VALUE_SETTINGS);

parentPort?.on("message", (request: EmbeddedRequest) => void run(request));
parentPort?.postMessage({ id: 0, rows: [], affected: undefined } satisfies EmbeddedResponse);

async function run({ id, text, params }: EmbeddedRequest): Promise<void> {
  try {
    const answer = params === null ? await script(text) : answerOf(await database.query(text, [...params]));
    parentPort?.postMessage({ id, ...(await answer) } satisfies EmbeddedResponse);
  } catch (error) {
    const problem = messageOf(error);
    parentPort?.postMessage({ id, problem, ...whatIsKnownOf(error) } satisfies EmbeddedResponse);
  }
}

async function script(text: string): Promise<{ rows: unknown[]; affected: undefined }> {
  await database.exec(text);
  return { rows: [], affected: undefined };
}

/** The rows; for a COPY to '/dev/blob', which gives none, its bytes as the only one. */
async function answerOf({
  rows,
  affectedRows,
  blob,
}: Results): Promise<{ rows: unknown[]; affected: number | undefined }> {
  return { rows: blob === undefined ? rows : [new Uint8Array(await blob.arrayBuffer())], affected: affectedRows };
}

function whatIsKnownOf(error: unknown): Pick<SqlErrorOptions, "sqlState" | "outcome"> {
  if (error instanceof UnreadableValue) return { sqlState: UnreadableValue.SQL_STATE, outcome: "unknown" };
  const sqlState = error instanceof Error && "code" in error ? String(error.code) : undefined;
  return { sqlState, outcome: "rolled_back" };
}
