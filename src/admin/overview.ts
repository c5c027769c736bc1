import type { Micros } from "../core/clock.ts";
import { DECISION_OF, type Reason } from "../core/decision.ts";
import type { CircuitCounts, SqlOverview } from "../store/overview.ts";
import type { SqlReviewStore } from "../store/reviews.ts";

/** Decisions by what came of them. */
export interface OutcomeCounts {
  readonly allowed: number;
  readonly bypassed: number;
  readonly needsReview: number;
  readonly deniedByPolicy: number;
  readonly deniedByOutage: number;
}

export interface VerificationView {
  readonly at: Micros;
  readonly ok: boolean;
  readonly summary: string;
}

export interface Overview {
  readonly at: Micros;
  /** The last hour, oldest first; counts are null where they could not be counted in time. */
  readonly minutes: readonly { readonly minute: Micros; readonly counts: OutcomeCounts | null }[];
  readonly latency: { readonly p50Ms: number; readonly p99Ms: number } | null;
  readonly queueDepth: number;
  readonly circuits: CircuitCounts;
  readonly activeBypasses: number;
  readonly pendingReviews: number;
  readonly unresolvedExecutions: number;
  readonly lastVerification: VerificationView | null;
  readonly policyVersion: string;
  readonly warnings: readonly string[];
  /** Whether the database was rolled back, and nobody is allowed anything until a person acknowledges it. */
  readonly inRecovery: boolean;
}

/** What only a running service knows. */
export interface ProcessFigures {
  readonly queueDepth: () => number;
  readonly latency: () => Overview["latency"];
  readonly policyVersion: () => string;
  /** What needs somebody to look at it, though decisions go on. */
  readonly warnings: () => readonly string[];
  readonly inRecovery: () => boolean;
}

export interface OverviewPorts {
  readonly trail: SqlOverview;
  readonly guards: { circuitCounts(): Promise<CircuitCounts> };
  readonly orders: { countActiveGrants(now: Micros): Promise<number> };
  readonly reviews: SqlReviewStore;
  readonly executions: { countUnresolved(): Promise<number> };
  readonly verifications: { last(): Promise<VerificationView | null> };
  readonly process: ProcessFigures;
  readonly now: () => Micros;
  /** Milliseconds. */
  readonly monotonic: () => number;
}

const MINUTE: Micros = 60_000_000;
const MINUTES = 60;
/** A minute's count is final so many minutes after it: what is committed later than that is not counted here. */
const OPEN_MINUTES = 2;
/** How many minutes one statement counts, and how long one overview may count. */
const MINUTES_AT_ONCE = 10;
const BUDGET_MS = 1500;
/** However many ask, the figures are computed no more often. */
const FRESH_MS = 2000;

/** The overview: computed when somebody asks, each finished minute once. */
export class OverviewReader {
  readonly #ports: OverviewPorts;
  readonly #finished = new Map<number, OutcomeCounts>();
  #last: { readonly at: number; readonly overview: Promise<Overview> } | null = null;

  constructor(ports: OverviewPorts) {
    this.#ports = ports;
  }

  read(): Promise<Overview> {
    const at = this.#ports.monotonic();
    if (this.#last === null || at - this.#last.at >= FRESH_MS) {
      const overview = this.#compute();
      this.#last = { at, overview };
      overview.catch(() => (this.#last = null));
    }
    return this.#last.overview;
  }

  async #compute(): Promise<Overview> {
    const { guards, orders, reviews, executions, verifications, process, now } = this.#ports;
    const at = now();
    const minutes = await this.#countMinutes(Math.floor(at / MINUTE));
    return {
      at,
      minutes,
      latency: process.latency(),
      queueDepth: process.queueDepth(),
      circuits: await guards.circuitCounts(),
      activeBypasses: await orders.countActiveGrants(at),
      pendingReviews: await reviews.countPending(),
      unresolvedExecutions: await executions.countUnresolved(),
      lastVerification: await verifications.last(),
      policyVersion: process.policyVersion(),
      warnings: process.warnings(),
      inRecovery: process.inRecovery(),
    };
  }

  /** The newest minutes first, so that those are known that matter most. */
  async #countMinutes(current: number): Promise<Overview["minutes"]> {
    const first = current - MINUTES + 1;
    const until = this.#ports.monotonic() + BUDGET_MS;
    const open = await this.#count(current - OPEN_MINUTES, current + 1);
    for (const minute of this.#finished.keys()) if (minute < first) this.#finished.delete(minute);
    for (let to = current - OPEN_MINUTES; to > first && this.#ports.monotonic() < until; to -= MINUTES_AT_ONCE) {
      const from = Math.max(first, to - MINUTES_AT_ONCE);
      if (range(from, to).every((minute) => this.#finished.has(minute))) continue;
      const missing = range(from, to).filter((minute) => !this.#finished.has(minute));
      const counted = await this.#count(Math.min(...missing), Math.max(...missing) + 1);
      for (const minute of missing) this.#finished.set(minute, counted.get(minute) ?? NOTHING);
    }
    return range(first, current + 1).map((minute) => {
      const counts = open.get(minute) ?? this.#finished.get(minute) ?? null;
      return { minute: minute * MINUTE, counts: counts ?? (minute >= current - OPEN_MINUTES ? NOTHING : null) };
    });
  }

  async #count(from: number, to: number): Promise<Map<number, OutcomeCounts>> {
    const counts = new Map<number, OutcomeCounts>();
    for (const { minute, reason, count } of await this.#ports.trail.countByMinute(from, to)) {
      const so = counts.get(minute) ?? NOTHING;
      const outcome = outcomeOf(reason);
      counts.set(minute, { ...so, [outcome]: so[outcome] + count });
    }
    return counts;
  }
}

const NOTHING: OutcomeCounts = { allowed: 0, bypassed: 0, needsReview: 0, deniedByPolicy: 0, deniedByOutage: 0 };

/** What guards deny because the service could not be asked. */
const OUTAGE: ReadonlySet<Reason> = new Set<Reason>([
  "SERVICE_UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "MALFORMED_RESPONSE",
  "REQUEST_REFUSED",
  "CIRCUIT_OPEN",
]);

function outcomeOf(reason: Reason): keyof OutcomeCounts {
  if (reason === "CIRCUIT_BYPASS") return "bypassed";
  if (OUTAGE.has(reason)) return "deniedByOutage";
  return ({ allow: "allowed", deny: "deniedByPolicy", needs_review: "needsReview" } as const)[DECISION_OF[reason]];
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}
