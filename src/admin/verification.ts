import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { makeEvent } from "../audit/row/event.ts";
import { type Progress, verify, type VerificationPorts, type VerifyStore } from "../audit/verify/verify.ts";
import { type PlanPorts, planRun, type Scope } from "../audit/verify/plan.ts";
import type { VerificationRun } from "../audit/verify/run.ts";
import { isoMicros, type Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import { type RandomPool, uuidV7 } from "../core/ids.ts";
import type { SqlVerificationRuns } from "../store/verification-runs.ts";

export interface VerificationOperationsPorts {
  readonly runs: SqlVerificationRuns;
  readonly store: VerifyStore & PlanPorts;
  /** Seals what is committed, and returns from when on rows may be unsealed, and what is known to be wrong. */
  readonly settle: () => Promise<{ settled: Micros; problems: readonly string[] }>;
  readonly keys: () => Promise<VerificationPorts["keys"]>;
  readonly directory: VerificationPorts["directory"];
  readonly pieceRows: number;
  /** Of the time, how much a run may take from others, 0 to 1. 1 where there are no others. */
  readonly share: number;
  readonly reverifyDays: number;
  readonly onFinished: (run: { state: "passed" | "failed"; progress: Progress }) => void;
  readonly onError: (error: unknown) => void;
  readonly random: RandomPool;
  readonly now: () => Micros;
  /** Milliseconds. */
  readonly monotonic: () => number;
}

/** How often a run says that it is still at it, and how far it has come. */
const SAVE_EVERY_MS = 2000;
const LONGEST_PAUSE_MS = 5000;
const DAY: Micros = 86_400_000_000;
/** Findings that go into the event; all that are kept are with the run. */
const TOLD_FINDINGS = 20;

/** Verification runs: one at a time for all replicas, each resumed where it was when its process is killed. */
export class VerificationOperations {
  readonly #ports: VerificationOperationsPorts;
  readonly #runner: string = randomUUID();
  /** This process's run. */
  #running: { readonly runId: string; readonly ended: Promise<void> } | null = null;
  #stopping = false;

  constructor(ports: VerificationOperationsPorts) {
    this.#ports = ports;
  }

  /** Begins a run in the background, or goes on with one that was lost. @returns the run that is under way then, of any scope */
  async start(scope: Scope, actor: string): Promise<VerificationRun> {
    const { runs } = this.#ports;
    for (;;) {
      // Ours may be at something slow, and is not to be taken up beside itself.
      if (this.#running !== null) return await this.find(this.#running.runId);
      const other = await runs.underWay();
      if (other !== null) return other;
      const own = (await runs.takeOver(this.#runner)) ?? (await this.#begin(scope, actor));
      if (own !== null) return this.#runInBackground(own);
      // Somebody else was faster: theirs is the one.
    }
  }

  /** Goes on with a run whose process was killed, if there is one. */
  async resume(): Promise<void> {
    if (this.#running !== null) return;
    const lost = await this.#ports.runs.takeOver(this.#runner);
    if (lost !== null) this.#runInBackground(lost);
  }

  /** @throws Fault AUDIT_RUN_UNKNOWN */
  async find(runId: string): Promise<VerificationRun> {
    const run = await this.#ports.runs.find(runId);
    if (run === null) throw new Fault("AUDIT_RUN_UNKNOWN", `There is no verification run ${runId}.`);
    return run;
  }

  /** Newest first. */
  async list(before: Micros | null, limit: number): Promise<{ runs: VerificationRun[]; more: boolean }> {
    const found = await this.#ports.runs.list(before ?? this.#ports.now() + DAY, limit + 1);
    return { runs: found.slice(0, limit), more: found.length > limit };
  }

  /** The last run that ended, or one before it that failed, until a full run has passed since; null if none ended. */
  async last(): Promise<{ at: Micros; ok: boolean; summary: string; rows: number; problems: number } | null> {
    const run = await this.#ports.runs.lastToTell();
    if (run === null) return null;
    const { rows, problems } = run.progress;
    return { at: run.finishedAt ?? run.updatedAt, ok: run.state === "passed", summary: summaryOf(run), rows, problems };
  }

  /** Leaves a run that is under way where it is; another process, or the next life of this one, goes on with it. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running?.ended;
  }

  /** Null if another run has begun meanwhile. */
  async #begin(scope: Scope, actor: string): Promise<VerificationRun | null> {
    const { runs, store, settle, now, random, reverifyDays } = this.#ports;
    // What was recorded a moment ago is to be verified, too.
    await settle();
    const progress = await planRun(store, scope, await runs.lastForNext(), now(), reverifyDays);
    const runId = uuidV7(now(), random);
    const run = { runId, scope: scopeName(scope), startedBy: actor, runner: this.#runner, progress };
    return (await runs.begin(run)) ? await this.find(runId) : null;
  }

  #runInBackground(run: VerificationRun): VerificationRun {
    const ended = this.#run(run)
      .catch(this.#ports.onError)
      .finally(() => (this.#running = null));
    this.#running = { runId: run.runId, ended };
    return run;
  }

  async #run({ runId, scope, progress }: VerificationRun): Promise<void> {
    const { runs, store, keys, directory, settle, pieceRows, onFinished, now, random } = this.#ports;
    const { settled, problems } = await settle();
    const pause = this.#pacer(runId);
    const done = await verify({ store, keys: await keys(), directory, settled, pieceRows, pause }, progress);
    if (done === null) return;
    const state = done.problems === 0 ? "passed" : "failed";
    const kind = state === "passed" ? "audit.verified" : "audit.verification_failed";
    const findings = done.findings.slice(0, TOLD_FINDINGS).map((finding) => ({ ...finding }));
    const detail = { runId, scope, rows: done.rows, problems: done.problems, findings, sealing: [...problems] };
    const event = makeEvent({ kind, actor: "service", detail }, now(), random);
    if (await runs.finish({ runId, runner: this.#runner, state, progress: done }, event))
      onFinished({ state, progress: done });
  }

  /** After each piece as long a pause as leaves others their share, and now and then a word that the run is alive. */
  #pacer(runId: string): VerificationPorts["pause"] {
    const { runs, share, monotonic } = this.#ports;
    let savedAt = monotonic();
    let began = monotonic();
    return async (progress) => {
      if (this.#stopping) return false;
      const took = monotonic() - began;
      await sleep(Math.min(LONGEST_PAUSE_MS, took * (1 / share - 1)));
      if (monotonic() - savedAt >= SAVE_EVERY_MS) {
        if (!(await runs.save(runId, this.#runner, progress))) return false;
        savedAt = monotonic();
      }
      began = monotonic();
      return true;
    };
  }
}

function summaryOf({ scope, progress: { rows, problems } }: VerificationRun): string {
  const verdict = problems === 0 ? "nothing wrong" : `${problems} ${problems === 1 ? "problem" : "problems"}`;
  return `${scope}: ${rows} rows verified, ${verdict}`;
}

function scopeName(scope: Scope): string {
  return scope.kind === "since" ? `since ${isoMicros(scope.since)}` : scope.kind;
}
