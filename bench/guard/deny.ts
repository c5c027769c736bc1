/**
 * Denies of an open circuit in one process, with the journal on disk and a Redis that has stopped answering: `node deny.ts
 * SPEC`, a {@link DenySpec} as JSON. Prints a {@link DenyResult}.
 */
import { setImmediate as turn } from "node:timers/promises";
import { DataCrawl } from "@datacrawl/client";
import { QUESTION } from "../peers/question.ts";
import { quantile } from "../support/statistics.ts";
import { API_KEY, NO_PROBE_MS } from "./parts.ts";

export interface DenySpec {
  readonly calls: number;
  /** Of a port where nobody listens. */
  readonly deadUrl: string;
  readonly redisUrl: string;
  readonly redisPid: number;
  readonly journalDir: string;
}

export interface DenyResult {
  readonly calls: number;
  readonly p50Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

const WARMUP = 50_000;
/** Calls between two turns of the event loop: what else the process has to do (writing the journal, looking for Redis) is done. */
const BURST = 100;

async function measure({ calls, deadUrl, redisUrl, redisPid, journalDir }: DenySpec): Promise<DenyResult> {
  const circuit = { probeAfterMs: NO_PROBE_MS };
  await using dc = new DataCrawl({ url: deadUrl, apiKey: API_KEY, redisUrl, journalDir, circuit });
  for (let n = 0; dc.circuit.state !== "open"; n++) await dc.authorize({ ...QUESTION, idempotencyKey: `opening-${n}` });
  process.kill(redisPid, "SIGSTOP");
  const latencies = new Float64Array(calls);
  for (let n = -WARMUP; n < calls; n++) {
    const request = { ...QUESTION, idempotencyKey: `key-${n}` };
    const startedAt = performance.now();
    const { reason } = await dc.authorize(request);
    if (n >= 0) latencies[n] = performance.now() - startedAt;
    if (reason !== "CIRCUIT_OPEN") throw new Error(`the circuit did not deny: ${reason}`);
    if (n % BURST === 0) await turn();
  }
  latencies.sort();
  return {
    calls,
    p50Us: quantile(latencies, 0.5) * 1000,
    p999Us: quantile(latencies, 0.999) * 1000,
    maxUs: quantile(latencies, 1) * 1000,
  };
}

process.stdout.write(`${JSON.stringify(await measure(JSON.parse(process.argv[2]!)))}\n`);
