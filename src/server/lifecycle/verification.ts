import { Cron } from "croner";
import type { VerificationOperations } from "../../admin/verification.ts";
import type { Config } from "../../config.ts";
import type { Metrics } from "./metrics.ts";

/** Verifies the trail at the times of `schedule`. All replicas try; one of them has the run. */
export function scheduleVerification(
  schedule: Config["verifyAt"],
  verification: VerificationOperations,
  onError: (error: unknown) => void,
): { stop(): void } {
  if (schedule === null) return { stop: () => undefined };
  return new Cron(schedule.pattern, { timezone: schedule.zone, unref: true, catch: onError }, async () => {
    await verification.start({ kind: "incremental" }, "service");
  });
}

/** The metrics of the last run that ended, whichever replica had it; a failure stays until a full run passes. */
export class VerificationMetrics {
  readonly #verification: VerificationOperations;
  #last: { readonly at: number; readonly ok: boolean; readonly rows: number; readonly problems: number } | null = null;

  constructor(metrics: Metrics, verification: VerificationOperations) {
    this.#verification = verification;
    const watch = metrics.watch.bind(metrics);
    watch("datacrawl_audit_verified_timestamp_seconds", "When the last verification ended; 0 if none did.", () => {
      return (this.#last?.at ?? 0) / 1_000_000;
    });
    watch(
      "datacrawl_audit_verification_failed",
      "1 if the last verification found something wrong, until a full one finds nothing.",
      () => {
        return this.#last?.ok === false ? 1 : 0;
      },
    );
    watch("datacrawl_audit_verified_rows", "Rows that the last verification read.", () => this.#last?.rows ?? 0);
    watch("datacrawl_audit_verification_problems", "What the last verification found wrong.", () => {
      return this.#last?.problems ?? 0;
    });
  }

  async refresh(): Promise<void> {
    this.#last = await this.#verification.last();
  }
}
