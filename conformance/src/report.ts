/** Results, summed up by family. */
import type { Result } from "./runner.ts";

export interface Report {
  readonly passed: number;
  readonly failed: number;
  readonly families: readonly FamilyReport[];
  readonly failures: readonly Result[];
}

export interface FamilyReport {
  readonly family: string;
  readonly passed: number;
  readonly failed: number;
}

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
