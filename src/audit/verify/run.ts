import type { Micros } from "../../core/clock.ts";
import type { Progress } from "./verify.ts";

/** A verification run, and how far it has come. */
export interface VerificationRun {
  readonly runId: string;
  /** `full`, `incremental`, or `since` and a time. */
  readonly scope: string;
  readonly startedBy: string;
  readonly startedAt: Micros;
  readonly updatedAt: Micros;
  readonly finishedAt: Micros | null;
  /** `running` also for a run whose process was killed, until another takes it up. */
  readonly state: "running" | "passed" | "failed";
  readonly progress: Progress;
}

/** A run as the process has it that it belongs to. */
export interface HeldRun extends Pick<VerificationRun, "runId" | "progress"> {
  readonly runner: string;
}
