/** Results, summed up by family. */
import type { Result } from "./runner.ts";

/** The results of a run, counted. */
export interface Report {
  /** Cases that the client got right. */
  readonly passed: number;
  /** Cases that it got wrong. */
  readonly failed: number;
  /** The same by family, in the order in which they ran. */
  readonly families: readonly FamilyReport[];
  /** The results of the cases that failed. */
  readonly failures: readonly Result[];
}

/** The counts of one family. */
export interface FamilyReport {
  readonly family: string;
  readonly passed: number;
  readonly failed: number;
}

/** Counts results by family. */
export function summarize(results: readonly Result[]): Report {
  const failures = results.filter((result) => result.problem !== null);
  const names = [...new Set(results.map((result) => result.family))];
  const families = names.map((family) => {
    const total = results.filter((result) => result.family === family).length;
    const failed = failures.filter((result) => result.family === family).length;
    return { family, passed: total - failed, failed };
  });
  return { passed: results.length - failures.length, failed: failures.length, families, failures };
}
