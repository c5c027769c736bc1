import type { OpenGuard } from "@datacrawl/client/internal/call/open";
import type { Clock } from "../core/clock.ts";

type Execution = Pick<Parameters<OpenGuard["report"]>[0], "decisionId" | "executionId">;
/** How a call ended. */
export type End = Omit<Parameters<OpenGuard["report"]>[0], keyof Execution | "durationMs">;

/** A call that may go to the server, until it has ended. */
export interface Run {
  /** Says how it ended. Only the first time counts. Returns at once: the report holds up nothing, and changes no answer. */
  readonly end: (end: End) => void;
  readonly isOver: boolean;
}

/** It was started and did not reach the server. */
export const NOT_FORWARDED: End = { outcome: "failed", errorCode: "NOT_FORWARDED" };

export interface RunsOptions {
  readonly guard: Pick<OpenGuard, "report">;
  /** How long a report may take, in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Pick<Clock, "monotonic">;
  /** Takes a sentence for people. */
  readonly warn: (problem: string) => void;
}

/** The runs of one proxy, and the reports of their ends. */
export class Runs {
  readonly #options: RunsOptions;
  readonly #reporting = new Set<Promise<void>>();

  constructor(options: RunsOptions) {
    this.#options = options;
  }

  /** @param execution null if nothing is to be reported */
  open(execution: Execution | null): Run {
    const startedAt = this.#options.clock.monotonic();
    let isOver = false;
    return {
      get isOver() {
        return isOver;
      },
      end: (end) => {
        if (isOver) return;
        isOver = true;
        if (execution === null) return;
        const durationMs = Math.round(this.#options.clock.monotonic() - startedAt);
        const reporting = this.#report(execution, end, durationMs).finally(() => this.#reporting.delete(reporting));
        this.#reporting.add(reporting);
      },
    };
  }

  /** Resolves, never rejects, when each end of before was reported, or kept for later, or given up. */
  async settled(): Promise<void> {
    await Promise.all(this.#reporting);
  }

  async #report({ decisionId, executionId }: Execution, end: End, durationMs: number): Promise<void> {
    const { guard, clock, timeoutMs, warn } = this.#options;
    const report = { decisionId, executionId, ...end, durationMs };
    const reported = await guard.report(report, { deadlineAt: clock.monotonic() + timeoutMs });
    if (reported.state === "recorded") return;
    const what = `the outcome "${end.outcome}" of the execution of decision ${decisionId}`;
    const later = reported.kept ? " It is kept and will be sent later." : "";
    warn(`${what} was not recorded (${reported.reason}): ${reported.message}${later}`);
  }
}
