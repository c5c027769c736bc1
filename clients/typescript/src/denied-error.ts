import type { Verdict } from "./verdict.ts";

/** Thrown in place of an action that was not allowed: the action did not run. */
export class DeniedError extends Error {
  override readonly name = "DeniedError";
  readonly tool: string;
  readonly verdict: Verdict;

  constructor(tool: string, verdict: Verdict) {
    super(`${tool} was not allowed (${verdict.reason}): ${verdict.message}`);
    this.tool = tool;
    this.verdict = verdict;
  }
}
