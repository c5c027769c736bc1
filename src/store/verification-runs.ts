import { type Kysely, type QueryCreator, type RawBuilder, sql, type UpdateObject } from "kysely";
import type { HashedEvent } from "../audit/row/event.ts";
import type { HeldRun, VerificationRun } from "../audit/verify/run.ts";
import type { Progress } from "../audit/verify/verify.ts";
import type { Last } from "../audit/verify/plan.ts";
import type { Micros } from "../core/clock.ts";
import { changeWithEvent } from "./events.ts";
import { Repository } from "./repository.ts";
import type { Schema, StoredTime } from "./schema.ts";
import { at, NOW } from "./dialect/statements.ts";

/** A process that has not said since then that it is still at it has lost its run. */
const LEASES_END: RawBuilder<StoredTime> = sql`now() - interval '60 seconds'`;

/**
 * Runs, each of which one process has at a time. A lease instead of a lock: a lock of a session can be lost unnoticed, and then
 * two would be at it; who has lost a lease finds out at the next step.
 */
export class SqlVerificationRuns extends Repository {
  /** False if there is a run that has not ended: a unique index allows no second. */
  async begin(run: HeldRun & Pick<VerificationRun, "scope" | "startedBy">): Promise<boolean> {
    const begun = await this.db
      .insertInto("audit_runs")
      .values({
        run_id: run.runId,
        scope: run.scope,
        started_by: run.startedBy,
        started_at: NOW,
        updated_at: NOW,
        state: "running",
        progress: stored(run.runner, run.progress),
      })
      .onConflict((conflict) => conflict.doNothing())
      .returning("run_id")
      .executeTakeFirst();
    return begun !== undefined;
  }

  /** Keeps the lease. False if another process has the run, or it is finished. */
  async save(runId: string, runner: string, progress: Progress): Promise<boolean> {
    return (await update(this.db, { runId, runner, progress }, {}).executeTakeFirst()) !== undefined;
  }

  /** Ends the run, and records its event. False as for {@link SqlVerificationRuns.save}. */
  async finish(run: HeldRun & { readonly state: "passed" | "failed" }, event: HashedEvent): Promise<boolean> {
    const end = { finished_at: NOW, state: run.state };
    const ended = await changeWithEvent(this.db, event, (db) => update(db, run, end));
    return ended.length > 0;
  }

  /** The run that some process is at; null if there is none. */
  async underWay(): Promise<VerificationRun | null> {
    return await this.#newest((all) => all.where("state", "=", RUNNING).where("updated_at", ">=", LEASES_END));
  }

  /** Takes up the run that its process has lost, if there is one. */
  async takeOver(runner: string): Promise<VerificationRun | null> {
    const run = await this.db
      .updateTable("audit_runs")
      .set("updated_at", NOW)
      .set("progress", sql`(progress::jsonb || jsonb_build_object('runner', ${runner}::text))::text`)
      .where("state", "=", RUNNING)
      .where("updated_at", "<", LEASES_END)
      .returning(RUN)
      .executeTakeFirst();
    return run === undefined ? null : runOf(run);
  }

  async find(runId: string): Promise<VerificationRun | null> {
    return await this.#newest((all) => all.where("run_id", "=", runId));
  }

  /** The newest first, those that began before `before`. */
  async list(before: Micros, limit: number): Promise<VerificationRun[]> {
    return await this.#read((all) => all.where("started_at", "<", at(before)).limit(limit));
  }

  /** The last run that ended, or one before it that failed, until a full run has passed since; null if none ended. */
  async lastToTell(): Promise<VerificationRun | null> {
    const failure = await this.#newest((all) => all.where("state", "=", "failed").where(NOT_MENDED));
    return failure ?? (await this.#newest((all) => all.where("state", "<>", "running")));
  }

  /** Where an incremental run begins; null if there was none, nor a full one. */
  async lastForNext(): Promise<Last | null> {
    const run = await this.#newest((all) =>
      all.where("state", "<>", "running").where("scope", "in", ["full", "incremental"]),
    );
    return run === null ? null : { startedAt: run.startedAt, next: run.progress.next };
  }

  /** The newest first. */
  async #read(narrow: (all: Runs) => Runs): Promise<VerificationRun[]> {
    const rows = await narrow(runs(this.db)).execute();
    return rows.map(runOf);
  }

  async #newest(narrow: (all: Runs) => Runs): Promise<VerificationRun | null> {
    const [run] = await this.#read((all) => narrow(all).limit(1));
    return run ?? null;
  }
}

const RUN = [
  "run_id as runId",
  "scope",
  "started_by as startedBy",
  "started_at as startedAt",
  "updated_at as updatedAt",
  "finished_at as finishedAt",
  "state",
  "progress",
] as const;

/** As in the index of the run that has not ended. */
const RUNNING = sql.lit("running" as const);

function runs(db: Kysely<Schema>) {
  return db.selectFrom("audit_runs").select(RUN).orderBy("started_at", "desc");
}

type Runs = ReturnType<typeof runs>;

/** Returns no row if `runner` does not have the run any more. */
function update(
  db: QueryCreator<Schema>,
  { runId, runner, progress }: HeldRun,
  end: UpdateObject<Schema, "audit_runs">,
) {
  return db
    .updateTable("audit_runs")
    .set({ updated_at: NOW, progress: stored(runner, progress), ...end })
    .where("run_id", "=", runId)
    .where("state", "=", RUNNING)
    .where(sql`progress::json->>'runner'`, "=", runner)
    .returning("run_id");
}

/** A run that reads a part only does not show that what another one found is mended. */
const NOT_MENDED = sql<boolean>`NOT EXISTS (
  SELECT FROM audit_runs later WHERE later.state = 'passed' AND later.scope = 'full' AND later.started_at > audit_runs.started_at)`;

function stored(runner: string, progress: Progress): string {
  return JSON.stringify({ ...progress, runner });
}

function runOf(run: Omit<VerificationRun, "progress"> & { readonly progress: string }): VerificationRun {
  return { ...run, progress: JSON.parse(run.progress) as Progress };
}
