import type { Verdict } from "./verdict.ts";

/**
 * An action of `protect` was not allowed, and did not run.
 *
 * @example
 * if (error instanceof DeniedError && error.verdict.retryAfterMs !== null) await sleep(error.verdict.retryAfterMs);
 */
export class DeniedError extends Error {
  override readonly name = "DeniedError";
  /** The tool that was asked about. */
  readonly tool: string;
  /** Why: its `allowed` is false. */
  readonly verdict: Verdict;

  constructor(tool: string, verdict: Verdict) {
    super(`${tool} was not allowed (${verdict.reason}): ${verdict.message}`);
    this.tool = tool;
    this.verdict = verdict;
  }
}
