import type { EventRow } from "../audit/row/record.ts";
import type { Progress } from "../audit/verify/verify.ts";
import type { Last } from "../audit/verify/plan.ts";
import type { Micros } from "../core/clock.ts";
import { type Database, microsOf } from "./database.ts";
import { eventParams, eventText } from "./event-text.ts";

/** `running` also for a run whose process was killed, until another takes it up. */
export type RunState = "running" | "passed" | "failed";

/** A verification run as it is stored. */
export interface StoredRun {
  readonly runId: string;
  /** `full`, `incremental`, or `since` and a time. */
  readonly scope: string;
  readonly startedBy: string;
  readonly startedAt: Micros;
  readonly updatedAt: Micros;
  readonly finishedAt: Micros | null;
  readonly state: RunState;
  readonly progress: Progress;
}

/** A process that has not said for so long that it is still at it has lost its run. */
const LEASE = "interval '60 seconds'";

/**
 * Runs, each of which one process has at a time. A lease instead of a lock: a lock of a session can be lost unnoticed, and then
 * two would be at it; who has lost a lease finds out at the next step.
 */
export class SqlVerificationRuns {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** False if there is a run that has not ended: a unique index allows no second. */
  async begin(run: {
    runId: string;
    scope: string;
    startedBy: string;
    runner: string;
    progress: Progress;
  }): Promise<boolean> {
    const rows = await this.#database.query(
      `INSERT INTO audit_runs (run_id, scope, started_by, started_at, updated_at, state, progress)
       VALUES ($1::text::uuid, $2, $3, now(), now(), 'running', $4) ON CONFLICT DO NOTHING RETURNING 1`,
      [run.runId, run.scope, run.startedBy, stored(run.runner, run.progress)],
    );
    return rows.length > 0;
  }

  /** Keeps the lease. False if another process has the run, or it is finished. */
  async save(runId: string, runner: string, progress: Progress): Promise<boolean> {
    const rows = await this.#database.query(
      `UPDATE audit_runs SET updated_at = now(), progress = $3
       WHERE run_id = $1::text::uuid AND state = 'running' AND progress::json->>'runner' = $2 RETURNING 1`,
      [runId, runner, stored(runner, progress)],
    );
    return rows.length > 0;
  }

  /** Ends the run, together with the event that tells of it. False as for {@link SqlVerificationRuns.save}. */
  async finish(
    run: { runId: string; runner: string; state: "passed" | "failed"; progress: Progress },
    event: { readonly row: EventRow; readonly hash: Uint8Array },
  ): Promise<boolean> {
    const rows = await this.#database.query(FINISH, [
      run.runId,
      run.runner,
      stored(run.runner, run.progress),
      run.state,
      ...eventParams(event),
    ]);
    return rows.length > 0;
  }

  /** The run that some process is at; null if there is none. */
  async underWay(): Promise<StoredRun | null> {
    return await this.#newest(`state = 'running' AND updated_at >= now() - ${LEASE}`);
  }

  /** Takes up the run that its process has lost, if there is one. */
  async takeOver(runner: string): Promise<StoredRun | null> {
    const [row] = await this.#database.query<RunRow>(TAKE_OVER, [runner]);
    return row === undefined ? null : runOf(row);
  }

  async find(runId: string): Promise<StoredRun | null> {
    const [row] = await this.#database.query<RunRow>(`${RUN} WHERE run_id = $1::text::uuid`, [runId]);
    return row === undefined ? null : runOf(row);
  }

  /** The newest first, those that began before `before`. */
  async list(before: Micros, limit: number): Promise<StoredRun[]> {
    const rows = await this.#database.query<RunRow>(
      `${RUN} WHERE started_at < 'epoch'::timestamptz + $1::bigint * interval '1 microsecond' ORDER BY audit_runs.started_at DESC LIMIT $2`,
      [String(before), limit],
    );
    return rows.map(runOf);
  }

  /** The last run that ended, or one before it that failed, until a full run has passed since; null if none ended. */
  async lastToTell(): Promise<StoredRun | null> {
    return (await this.#newest(OPEN_FAILURE)) ?? (await this.#newest("state <> 'running'"));
  }

  /** Where an incremental run begins; null if there was none, nor a full one. */
  async lastForNext(): Promise<Last | null> {
    const run = await this.#newest("state <> 'running' AND scope IN ('full', 'incremental')");
    return run === null ? null : { startedAt: run.startedAt, next: run.progress.next };
  }

  async #newest(condition: string): Promise<StoredRun | null> {
    const [row] = await this.#database.query<RunRow>(
      `${RUN} WHERE ${condition} ORDER BY audit_runs.started_at DESC LIMIT 1`,
    );
    return row === undefined ? null : runOf(row);
  }
}

interface RunRow {
  readonly run_id: string;
  readonly scope: string;
  readonly started_by: string;
  readonly started_at: string;
  readonly updated_at: string;
  readonly finished_at: string | null;
  readonly state: RunState;
  readonly progress: string;
}

/** A run that reads a part only does not show that what another one found is mended. */
const OPEN_FAILURE = `state = 'failed' AND NOT EXISTS (
  SELECT FROM audit_runs later WHERE later.state = 'passed' AND later.scope = 'full' AND later.started_at > audit_runs.started_at)`;

const COLUMNS = `run_id, scope, started_by, state, progress, ${microsOf("started_at")} AS started_at,
  ${microsOf("updated_at")} AS updated_at, ${microsOf("finished_at")} AS finished_at`;

const RUN = `SELECT ${COLUMNS} FROM audit_runs`;

const FINISH = `
WITH ended AS (
  UPDATE audit_runs SET updated_at = now(), finished_at = now(), progress = $3, state = $4
  WHERE run_id = $1::text::uuid AND state = 'running' AND progress::json->>'runner' = $2 RETURNING run_id
), told AS (${eventText(5, "FROM ended")})
SELECT run_id FROM ended`;

const TAKE_OVER = `
UPDATE audit_runs SET updated_at = now(), progress = (progress::jsonb || jsonb_build_object('runner', $1::text))::text
WHERE state = 'running' AND updated_at < now() - ${LEASE}
RETURNING ${COLUMNS}`;

function stored(runner: string, progress: Progress): string {
  return JSON.stringify({ ...progress, runner });
}

function runOf(row: RunRow): StoredRun {
  return {
    runId: row.run_id,
    scope: row.scope,
    startedBy: row.started_by,
    startedAt: Number(row.started_at),
    updatedAt: Number(row.updated_at),
    finishedAt: row.finished_at === null ? null : Number(row.finished_at),
    state: row.state,
    progress: JSON.parse(row.progress) as Progress,
  };
}
