import { systemClock } from "../../core/clock.ts";
import { Deadline } from "../../core/deadline.ts";
import { messageOf } from "../../core/fault.ts";

/** Why something is not ready, or null if it is; or what an operator should know although it is ready. */
export type Finding = string | null | { readonly warning: string };
export type Check = () => Finding | Promise<Finding>;

export interface Report {
  readonly ready: boolean;
  /** "ok" or what is wrong, by name. */
  readonly checks: Readonly<Record<string, string>>;
}

export interface ReadinessOptions {
  /** How often the checks run. */
  readonly intervalMs?: number;
  /** A check that takes longer has failed. */
  readonly timeoutMs?: number;
}

/**
 * Whether the service can decide: the one truth behind `/readyz` and grpc.health.v1. Not ready before the first round of
 * checks, and never again once it drains.
 */
export class Readiness {
  readonly #checks: ReadonlyMap<string, Check>;
  readonly #options: Required<ReadinessOptions>;
  readonly #listeners = new Set<(ready: boolean) => void>();
  #report: Report = { ready: false, checks: { service: "is starting" } };
  #timer: NodeJS.Timeout | undefined;
  #draining = false;

  constructor(checks: Readonly<Record<string, Check>>, options: ReadinessOptions = {}) {
    this.#checks = new Map(Object.entries(checks));
    this.#options = { intervalMs: options.intervalMs ?? 1000, timeoutMs: options.timeoutMs ?? 2000 };
  }

  get report(): Report {
    return this.#report;
  }

  /** Calls `listener` with the state now, and at each change. */
  subscribe(listener: (ready: boolean) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#report.ready);
    return () => this.#listeners.delete(listener);
  }

  /** Runs the first round, and further ones until `drain`. */
  async start(): Promise<void> {
    await this.#round();
    if (this.#draining) return;
    this.#timer = setTimeout(() => void this.start(), this.#options.intervalMs);
    this.#timer.unref();
  }

  /** Not ready from now on: balancers look elsewhere while what is under way finishes. */
  drain(): void {
    this.#draining = true;
    clearTimeout(this.#timer);
    this.#set({ ready: false, checks: { service: "is shutting down" } });
  }

  async #round(): Promise<void> {
    const results = await Promise.all(
      [...this.#checks].map(async ([name, check]) => [name, await this.#run(check)] as const),
    );
    if (this.#draining) return;
    const checks = Object.fromEntries(results.map(([name, finding]) => [name, textOf(finding)]));
    this.#set({ ready: results.every(([, finding]) => typeof finding !== "string"), checks });
  }

  async #run(check: Check): Promise<Finding> {
    using deadline = new Deadline(systemClock, systemClock.monotonic() + this.#options.timeoutMs);
    try {
      const ended = await deadline.race(Promise.resolve(check()));
      return ended.kind === "done" ? ended.value : "gave no answer in time";
    } catch (error) {
      return messageOf(error);
    }
  }

  #set(report: Report): void {
    const changed = report.ready !== this.#report.ready;
    this.#report = report;
    if (changed) for (const listener of this.#listeners) listener(report.ready);
  }
}

function textOf(finding: Finding): string {
  if (finding === null) return "ok";
  return typeof finding === "string" ? finding : `ok, but ${finding.warning}`;
}
