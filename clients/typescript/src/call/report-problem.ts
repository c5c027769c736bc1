import type { ExecutionReport } from "./execution.ts";

const OUTCOMES: readonly unknown[] = ["succeeded", "failed", "unknown"];
const CODE_BYTES = 128;
const SUMMARY_BYTES = 1024;

/** What the contract does not permit in a report, as a sentence; null if it is well-formed. */
export function reportProblem({ outcome, errorCode, durationMs, summary }: ExecutionReport): string | null {
  if (!OUTCOMES.includes(outcome)) return 'outcome must be "succeeded", "failed" or "unknown".';
  if (errorCode !== undefined && !isText(errorCode, CODE_BYTES, /\p{Cc}/u))
    return `errorCode must be a string of at most ${CODE_BYTES} bytes without control characters.`;
  if (durationMs !== undefined && !(Number.isSafeInteger(durationMs) && durationMs >= 0))
    return "durationMs must be a whole number of milliseconds from 0.";
  if (summary !== undefined && !isText(summary, SUMMARY_BYTES, /\0/))
    return `summary must be a string of at most ${SUMMARY_BYTES} bytes without NUL.`;
  return null;
}

function isText(value: unknown, maxBytes: number, forbidden: RegExp): boolean {
  return (
    typeof value === "string" && Buffer.byteLength(value) <= maxBytes && !forbidden.test(value) && value.isWellFormed()
  );
}
