/**
 * `npm run bench:audit`: what the audit trail costs with millions of rows: verifying and exporting them, proofs, disk, and what
 * sealing, a long trail and a verification cost decisions. Starts and stops all it needs. See docs/benchmarks.md.
 */
import { join } from "node:path";
import { isoMicros, systemClock } from "../src/core/clock.ts";
import { measureExport, measureVerification } from "./audit/commands.ts";
import { fill, rowsSealedPerSecond, settle, storageOf, templateOf, untilSealed } from "./audit/fill.ts";
import { verifying } from "./audit/beside.ts";
import { measureProofs } from "./audit/proofs.ts";
import { auditFigures, auditMarkdown, type AuditResults, type SizeResult } from "./audit/report.ts";
import { unsealed } from "./audit/unsealed.ts";
import { measure, type Pace, unexpectedAnswers } from "./measure.ts";
import { type Prepared, prepareDatacrawl, servePrepared, type Stores } from "./peers/datacrawl.ts";
import type { Peer } from "./peers/peer.ts";
import { commit, describeMachine } from "./support/machine.ts";
import { type Flags, progress, runProgram } from "./support/program.ts";
import { startPostgres, startRedis } from "./support/stores.ts";

const USAGE = `Usage: npm run bench:audit -- [--quick] [--rows N] [--json] [--write]

  --quick   a small trail and one short round of each: some two minutes, to see that all works
  --rows N  how long the long trail is (1,000,000); 10,000,000 take about an hour and 30 GB of disk
  --json    the results with every round on stdout instead of the tables
  --write   put the tables into docs/benchmarks.md
`;

interface AuditPace extends Pace {
  readonly rows: number;
  readonly proofs: number;
}

/** The service seals every ten seconds: each window holds as many seals' worth of rows as it took. */
const DEFAULT_PACE: AuditPace = {
  rows: 1_000_000,
  proofs: 500,
  rounds: 6,
  firstRoundMs: 2_000,
  warmupMs: 10_000,
  measureMs: 20_000,
};
const QUICK_PACE: AuditPace = {
  rows: 50_000,
  proofs: 50,
  rounds: 1,
  firstRoundMs: 500,
  // A verification beside decisions says every few seconds how far it is.
  warmupMs: 2_000,
  measureMs: 6_000,
};
/** Memory is compared between this share of the rows and all of them. */
const FEWER = 10;

async function measureAll(stack: AsyncDisposableStack, directory: string, flags: Flags): Promise<AuditResults> {
  const at = isoMicros(systemClock.now());
  const measured = await commit();
  const pace = flags.quick ? QUICK_PACE : DEFAULT_PACE;
  const rows = flags.rows ?? pace.rows;
  progress("starting Postgres, Redis and two services");
  const stores: Stores = { postgres: await startPostgres(stack, directory), redis: await startRedis(stack, directory) };
  const start = async (name: string): Promise<{ prepared: Prepared; peer: Peer }> => {
    const environment = { DATACRAWL_CHECKPOINT_DIR: join(directory, name, "checkpoints") };
    const prepared = await prepareDatacrawl(directory, stores, { name, rules: 10, environment });
    return { prepared, peer: await servePrepared(stack, directory, stores, prepared) };
  };
  const long = await start("long");
  const sizes: SizeResult[] = [];
  for (const size of [Math.ceil(rows / FEWER), rows]) sizes.push(await measureSize(long.prepared, stores, size));

  progress(`${pace.proofs} proofs of each kind`);
  const proofs = await measureProofs(long.prepared, pace.proofs);

  const empty = await start("empty");
  const emptyUrl = stores.postgres.url("postgres", "empty");
  await untilSealed(emptyUrl);
  const held = unsealed(empty.prepared, emptyUrl);
  const beside = verifying(long.prepared, stores.postgres.url("postgres", "long"));
  // The same process with and without: two that do the same differ by more than what is measured here.
  const notSealed: Peer = { ...empty.peer, name: "empty, unsealed", beside: held.run };
  const verified: Peer = { ...long.peer, name: "long, verifying", beside: beside.run };
  // The first and the last have two turns in a row: not one that does something beside.
  const peers = [empty.peer, notSealed, verified, long.peer];
  const scenario = { name: "decisions, by trail", connections: 4, streams: 32, keys: "fresh", peers } as const;
  const measurements = await measure(scenario, pace, progress);
  return {
    at,
    commit: measured,
    machine: await describeMachine(),
    pace: `Medians of ${pace.rounds} interleaved rounds of ${pace.measureMs / 1000} s after ${pace.warmupMs / 1000} s of warm-up.`,
    sizes,
    proofs,
    measurements,
    verifiedBeside: beside.rows,
    leftUnsealed: held.rows,
  };
}

/** Lets the trail grow to `size` decisions, and verifies and exports all of it. */
async function measureSize(prepared: Prepared, { postgres }: Stores, size: number): Promise<SizeResult> {
  const url = postgres.url("postgres", prepared.name);
  const began = await untilSealed(url);
  progress(`from ${began} to ${size} rows`);
  const startedAt = performance.now();
  await fill(url, await templateOf(url), Math.max(0, size - began));
  progress(`filled in ${seconds(startedAt)} s; sealing`);
  const rows = await untilSealed(url);
  progress(`sealed ${seconds(startedAt)} s after the first row; verifying ${rows} rows`);
  await settle(url);
  const verification = await measureVerification(prepared, postgres.pid, rows);
  progress(`verified in ${verification.seconds.toFixed(1)} s; exporting`);
  const exported = await measureExport(prepared, postgres.pid, rows);
  progress(`exported in ${exported.seconds.toFixed(1)} s`);
  return {
    rows,
    verification,
    exported,
    storage: await storageOf(url),
    sealedPerSecond: await rowsSealedPerSecond(url),
  };
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(0);
}

function problemOf(results: AuditResults): string | null {
  const unexpected = unexpectedAnswers(results);
  if (unexpected !== null) return unexpected;
  // The first round is thrown away, and may be too short for either.
  const decided = results.measurements
    .filter(({ peer }) => peer === "empty, unsealed")
    .map(({ result }) => result.answered);
  if (results.leftUnsealed.slice(1).some((rows, round) => rows < decided[round]!))
    return "sealing was not off as it should be";
  return results.verifiedBeside.slice(1).includes(0) ? "no verification ran beside decisions" : null;
}

await runProgram<AuditResults>({
  usage: USAGE,
  marker: "audit measured",
  filePrefix: "audit-",
  takesRows: true,
  measure: measureAll,
  figures: auditFigures,
  markdown: auditMarkdown,
  problem: problemOf,
});
