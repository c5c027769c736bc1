import { parentPort, workerData } from "node:worker_threads";
import { PGlite, type Results } from "@electric-sql/pglite";
import type { SqlParam } from "./database.ts";
import { messageOf } from "../fault.ts";

/** One statement, or without `params` a script of several. */
export interface EmbeddedRequest {
  readonly id: number;
  readonly text: string;
  readonly params: readonly SqlParam[] | null;
}

export type EmbeddedResponse =
  | { readonly id: number; readonly rows: unknown[] }
  | { readonly id: number; readonly problem: string; readonly sqlState: string | undefined };

// PGlite computes on the thread that calls it, so it has this one to itself. It runs one statement at a time, in order.
const { directory } = workerData as { directory: string };
const database = await PGlite.create(directory);

parentPort?.on("message", (request: EmbeddedRequest) => void run(request));
parentPort?.postMessage({ id: 0, rows: [] } satisfies EmbeddedResponse);

async function run({ id, text, params }: EmbeddedRequest): Promise<void> {
  try {
    const rows =
      params === null ? (await database.exec(text), []) : await rowsOf(await database.query(text, [...params]));
    parentPort?.postMessage({ id, rows } satisfies EmbeddedResponse);
  } catch (error) {
    const problem = messageOf(error);
    const sqlState = error instanceof Error && "code" in error ? String(error.code) : undefined;
    parentPort?.postMessage({ id, problem, sqlState } satisfies EmbeddedResponse);
  }
}

/** The rows; for a COPY to '/dev/blob', which gives none, its bytes as the only one. */
async function rowsOf({ rows, blob }: Results): Promise<unknown[]> {
  return blob === undefined ? rows : [new Uint8Array(await blob.arrayBuffer())];
}
