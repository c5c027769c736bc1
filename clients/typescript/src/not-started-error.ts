import type { AlreadyStarted, StartRefused } from "./execution.ts";
import type { Verdict } from "./verdict.ts";

/** Thrown in place of an action that was allowed and started before: this call did not run it. */
export class AlreadyStartedError extends Error {
  override readonly name = "AlreadyStartedError";
  /** The tool whose action did not run. */
  readonly tool: string;
  /** The allow that was to be started. */
  readonly verdict: Verdict;
  /** When it was started, by which credential, and how it ended, as far as is known. */
  readonly execution: AlreadyStarted;

  constructor(tool: string, verdict: Verdict, execution: AlreadyStarted) {
    const when = execution.startedAt === null ? "before" : `at ${execution.startedAt.toISOString()}`;
    const end = execution.outcome === null ? "its outcome is not known" : `its outcome was "${execution.outcome}"`;
    super(`${tool} was started ${when} under the key ${verdict.idempotencyKey}, and ${end}`);
    this.tool = tool;
    this.verdict = verdict;
    this.execution = execution;
  }
}

/** Thrown in place of an action that was allowed, but could not be started: the action did not run. */
export class NotStartedError extends Error {
  override readonly name = "NotStartedError";
  /** The tool whose action did not run. */
  readonly tool: string;
  /** The allow that was to be started. */
  readonly verdict: Verdict;
  /** Why it was not started. */
  readonly start: StartRefused;

  constructor(tool: string, verdict: Verdict, start: StartRefused) {
    super(`${tool} was not started (${start.reason}): ${start.message}`);
    this.tool = tool;
    this.verdict = verdict;
    this.start = start;
  }
}
