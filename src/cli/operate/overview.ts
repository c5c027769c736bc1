import { Command } from "commander";
import type { OutcomeCounts, Overview } from "@datacrawl/proto/datacrawl/authz/v1/overview_pb";
import { type Answering, withAdmin } from "../admin-client.ts";
import { ExitCode, type Io } from "../io.ts";
import { outJson, outTable, printable } from "../output.ts";
import { timeText } from "../timestamp-text.ts";

/** `datacrawl overview`. */
export function overviewCommand(io: Io): Command {
  return new Command("overview")
    .option("--json", "print one JSON value")
    .action(async (flags: { readonly json?: true }) => {
      const { overview, answering } = await withAdmin(io, async (admin, answering) => {
        return { overview: (await admin.getOverview({})).overview, answering };
      });
      // An operator who asks how things are must not take what the store holds for a service that decides.
      if (answering === "store") io.exit(ExitCode.failed);
      if (overview === undefined) return;
      if (flags.json) outJson(io, { serviceAnswers: answering === "service", ...overviewJson(overview) });
      else describe(io, overview, answering);
    });
}

const COLUMNS = ["allowed", "bypassed", "needsReview", "deniedByPolicy", "deniedByOutage"] as const;
const HEADINGS = ["MINUTE", "ALLOWED", "BYPASSED", "REVIEW", "DENIED", "OUTAGE"];
const SHOWN_MINUTES = 10;

function describe(io: Io, overview: Overview, answering: Answering): void {
  const { circuits, lastVerification, latency } = overviewJson(overview);
  const total = (minutes: readonly Row[]): string[] =>
    COLUMNS.map((name) => String(minutes.reduce((sum, minute) => sum + (minute.counts?.[name] ?? 0), 0)));
  const rows = minutesOf(overview);
  outTable(io, HEADINGS, [
    ["last hour", ...total(rows)],
    ...rows
      .slice(-SHOWN_MINUTES)
      .map(({ minute, counts }) => [minute, ...COLUMNS.map((name) => String(counts?.[name] ?? "?"))]),
  ]);
  if (overview.countsIncomplete) io.err("Some minutes could not be counted in time; ask again.\n");
  if (overview.inRecovery)
    io.out("recovery      agents are allowed nothing: see `datacrawl audit acknowledge-rollback`\n");
  if (answering === "store") io.out("service       DOES NOT ANSWER: agents get no decision from it\n");
  const states = Object.entries(circuits).map(([state, count]) => `${count} ${state}`);
  io.out(`circuits      ${states.join(", ")}\n`);
  io.out(`bypasses      ${overview.activeBypasses} in force\n`);
  io.out(`reviews       ${overview.pendingReviews} pending\n`);
  io.out(`executions    ${overview.unresolvedExecutions} unresolved\n`);
  io.out(`verification  ${lastVerification === null ? "never" : verificationText(lastVerification)}\n`);
  if (answering === "service") io.out(`queue         ${overview.queueDepth} decisions wait to be recorded\n`);
  if (latency !== null)
    io.out(`latency       ${latency.p50Ms.toFixed(1)} ms (p50), ${latency.p99Ms.toFixed(1)} ms (p99)\n`);
  if (overview.policyVersion !== "") io.out(`policies      ${printable(overview.policyVersion)}\n`);
  for (const warning of overview.warnings) io.out(`warning       ${printable(warning)}\n`);
}

function verificationText({ at, ok, summary }: { at: string; ok: boolean; summary: string }): string {
  return `${at}  ${ok ? "ok" : "FAILED"}  ${printable(summary)}`;
}

interface Row {
  readonly minute: string;
  readonly counts: Readonly<Record<(typeof COLUMNS)[number], number>> | null;
}

function minutesOf({ minutes }: Overview): Row[] {
  return minutes.map(({ minute, counts }) => ({
    minute: timeText(minute),
    counts: counts === undefined ? null : numbers(counts),
  }));
}

function numbers(counts: OutcomeCounts): NonNullable<Row["counts"]> {
  return Object.fromEntries(COLUMNS.map((name) => [name, Number(counts[name])])) as NonNullable<Row["counts"]>;
}

function overviewJson(overview: Overview) {
  const { latency, circuits, lastVerification: verification } = overview;
  return {
    at: timeText(overview.at),
    minutes: minutesOf(overview),
    countsIncomplete: overview.countsIncomplete,
    latency: latency === undefined ? null : { p50Ms: latency.p50Ms, p99Ms: latency.p99Ms },
    queueDepth: overview.queueDepth,
    circuits: {
      closed: circuits?.closed ?? 0,
      open: circuits?.open ?? 0,
      halfOpen: circuits?.halfOpen ?? 0,
      recovering: circuits?.recovering ?? 0,
      forced: circuits?.forced ?? 0,
      silent: circuits?.silent ?? 0,
    },
    activeBypasses: overview.activeBypasses,
    pendingReviews: overview.pendingReviews,
    unresolvedExecutions: overview.unresolvedExecutions,
    lastVerification:
      verification === undefined
        ? null
        : { at: timeText(verification.at), ok: verification.ok, summary: verification.summary },
    policyVersion: overview.policyVersion,
    warnings: overview.warnings,
    inRecovery: overview.inRecovery,
  };
}
