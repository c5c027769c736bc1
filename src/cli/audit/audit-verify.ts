import type { Client } from "@connectrpc/connect";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Command } from "commander";
import { setTimeout as sleep } from "node:timers/promises";
import type { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import {
  type AuditFinding,
  type AuditRun,
  AuditRunState,
  AuditRunStateSchema,
  AuditScope,
} from "@datacrawl/proto/datacrawl/authz/v1/audit_pb";
import { isoMicros, type Micros } from "../../core/clock.ts";
import { withAdmin } from "../admin-client.ts";
import { ExitCode, type Io } from "../io.ts";
import { outJson, outTable, printable, wordOf } from "../output.ts";
import { allPages } from "../pages.ts";
import { parseTime } from "../parse.ts";
import { timeText } from "../timestamp-text.ts";

interface VerifyFlags {
  readonly since?: Micros;
  readonly full?: true;
  readonly json?: true;
}

const POLL_MS = 500;
/** A process that has not said for so long that it is at its run has lost it: another may take it up after a minute. */
const LOST_MS = 65_000;

/** `datacrawl audit verify` and `datacrawl audit runs`. */
export function verifyCommands(io: Io): Command[] {
  const verify = new Command("verify")
    .description(
      "Verify the audit trail: rows, seals, checkpoints, inside and outside the database. Exit status 1 if anything is wrong.",
    )
    .option("--full", "everything; default: what is new and a rotating part of the rest")
    .option("--since <time>", "what was sealed since: a date, a time, or how long ago, such as 7d", parseTime)
    .option("--json", "print the run and everything that it found")
    .action(async (flags: VerifyFlags) => {
      const run = await withAdmin(io, (admin) => verifyTrail(io, admin, flags));
      if (flags.json) outJson(io, jsonOf(run));
      else tell(io, run);
      if (run.state !== AuditRunState.PASSED) io.exit(ExitCode.failed);
    });

  const runs = new Command("runs")
    .description("List the verification runs, newest first.")
    .option("--json", "print a list of runs")
    .action(async (flags: { readonly json?: true }) => {
      const all = await withAdmin(io, (admin) =>
        allPages(
          (page) => admin.listAuditRuns(page),
          (listed) => listed.runs,
        ),
      );
      if (flags.json) return outJson(io, all.map(jsonOf));
      const rows = all.map((run) => [
        run.runId,
        timeText(run.startedAt),
        run.scope,
        stateOf(run),
        String(run.rows),
        String(run.problems),
      ]);
      outTable(io, ["RUN", "STARTED", "SCOPE", "STATE", "ROWS", "PROBLEMS"], rows);
    });
  return [verify, runs];
}

/** Starts a run and follows it to its end; first any other that is under way, for there is one at a time. */
async function verifyTrail(io: Io, admin: Client<typeof AdminService>, flags: VerifyFlags): Promise<AuditRun> {
  const scope = flags.full ? AuditScope.FULL : flags.since === undefined ? AuditScope.INCREMENTAL : AuditScope.SINCE;
  const since = flags.since === undefined ? {} : { since: timestampFromMs(flags.since / 1000) };
  const progress = new ProgressLine(io);
  let lost = "";
  for (;;) {
    const { run } = await admin.startAuditVerification({ scope, ...since });
    const ended = await follow(admin, sent(run), progress);
    if (ended.state !== AuditRunState.RUNNING) {
      if (ended.scope === scopeOf(flags)) return ended;
      continue;
    }
    // Its process is gone. Who starts one now takes it up; a run that no process can finish must not be tried for ever.
    if (lost === ended.runId) throw new Error(`the run ${lost} is not finished by any process: see the service's log`);
    lost = ended.runId;
  }
}

/** @returns the run when it has ended; still running if its process has not said for too long that it is at it */
async function follow(admin: Client<typeof AdminService>, begun: AuditRun, progress: ProgressLine): Promise<AuditRun> {
  let alive = { at: performance.now(), said: "" };
  for (let run = begun; ; run = sent((await admin.getAuditRun({ runId: run.runId })).run)) {
    progress.show(run);
    const said = timeText(run.updatedAt);
    if (said !== alive.said) alive = { at: performance.now(), said };
    if (run.state !== AuditRunState.RUNNING || performance.now() - alive.at > LOST_MS) {
      progress.end();
      return run;
    }
    await sleep(POLL_MS);
  }
}

function sent(run: AuditRun | undefined): AuditRun {
  if (run === undefined) throw new Error("the service sent no run");
  return run;
}

/** As runs are named. */
function scopeOf({ full, since }: VerifyFlags): string {
  if (full) return "full";
  return since === undefined ? "incremental" : `since ${isoMicros(Math.floor(since / 1000) * 1000)}`;
}

/** On a terminal, one line that is written over and over. */
class ProgressLine {
  readonly #io: Io;
  readonly #began = performance.now();
  #firstRows: number | null = null;

  constructor(io: Io) {
    this.#io = io;
  }

  show({ rows, totalRows }: AuditRun): void {
    if (!process.stderr.isTTY) return;
    const [done, total] = [Number(rows), Number(totalRows)];
    this.#firstRows ??= done;
    const rate = (1000 * (done - this.#firstRows)) / Math.max(1, performance.now() - this.#began);
    const left = rate > 0 && done < total ? `, ${Math.ceil((total - done) / rate)} s left` : "";
    const share = total === 0 ? 1 : Math.min(1, done / total);
    const bar = "#".repeat(Math.round(30 * share)).padEnd(30, ".");
    this.#io.err(`\r\u001b[K[${bar}] ${done} of ${total} rows, ${Math.round(rate)}/s${left}`);
  }

  end(): void {
    if (process.stderr.isTTY) this.#io.err("\n");
  }
}

function tell(io: Io, run: AuditRun): void {
  for (const finding of run.findings) io.out(`${lineOf(finding)}\n`);
  if (run.problems > run.findings.length) io.out(`… and ${Number(run.problems) - run.findings.length} more\n`);
  const verdict =
    run.problems === 0n ? "nothing is wrong" : `${run.problems} ${run.problems === 1n ? "PROBLEM" : "PROBLEMS"}`;
  io.out(`Verified ${run.rows} rows (${run.scope}): ${verdict}.\n`);
}

function lineOf({ check, table, rowId, recordedAtUs, epoch, seq, detail }: AuditFinding): string {
  const row = table === undefined ? "" : ` ${table} ${rowId} recorded ${isoMicros(Number(recordedAtUs))}`;
  const place = epoch === undefined ? "" : ` (epoch ${epoch}, place ${seq})`;
  return `${check.toUpperCase()}${row}${place}: ${printable(detail)}`;
}

function jsonOf(run: AuditRun): Record<string, unknown> {
  return {
    runId: run.runId,
    scope: run.scope,
    startedBy: run.startedBy,
    state: stateOf(run),
    startedAt: timeText(run.startedAt),
    finishedAt: timeText(run.finishedAt) || null,
    rows: Number(run.rows),
    totalRows: Number(run.totalRows),
    problems: Number(run.problems),
    findings: run.findings.map(({ check, table, rowId, recordedAtUs, epoch, seq, detail }) => {
      const recordedAt = recordedAtUs === undefined ? null : isoMicros(Number(recordedAtUs));
      const place = seq === undefined ? null : Number(seq);
      return {
        check,
        table: table ?? null,
        rowId: rowId ?? null,
        recordedAt,
        epoch: epoch ?? null,
        seq: place,
        detail,
      };
    }),
  };
}

function stateOf({ state }: AuditRun): string {
  return wordOf(AuditRunStateSchema, state).toLowerCase();
}
