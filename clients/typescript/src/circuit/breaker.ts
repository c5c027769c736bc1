import type { Clock, Micros } from "@datacrawl/core/clock";
import { admission, type Circuit, type Generation, type Input, newCircuit, sameGeneration, step } from "./circuit.ts";
import { clipped } from "./clipped.ts";
import { type BreakerConfig, type Timing, timing } from "./config.ts";
import {
  type FleetView,
  Heed,
  type LeaseOutcome,
  type Member,
  type SharedCircuit,
  type Standing,
  type Want,
} from "./fleet.ts";
import type { Breaker, CircuitEvent, CircuitSnapshot, Permit, Result, Token } from "./permit.ts";
import { causeOf, ownCountOpened, retryIn, type Situation, type State, stateOf } from "./situation.ts";

export type { BreakerConfig } from "./config.ts";
export type { SharedCircuit } from "./fleet.ts";
export type * from "./permit.ts";
export type { Cause } from "./situation.ts";

export interface BreakerOptions {
  readonly service: string;
  readonly agentId: string;
  readonly config: BreakerConfig;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Closed with the breaker. Of the same service, agent and configuration. */
  readonly shared?: SharedCircuit;
}

/** @throws RangeError if the configuration is no configuration */
export function createBreaker(options: BreakerOptions): Breaker {
  return new FleetBreaker(options);
}

const KEPT_ERRORS = 5;
const ERROR_BYTES = 200;
/** A process whose last call is not older than this has calls to probe with. */
const BUSY_MS = 2_000;

/** The call that finds out how the service is. */
interface Trial {
  readonly generation: Generation;
  /** The fleet's lease that it goes under. */
  readonly lease: number | null;
  /** It goes although the fleet says open. */
  readonly againstFleet: boolean;
}

/** The local circuit and what the fleet says: a call needs the leave of both. */
class FleetBreaker implements Breaker, Member {
  readonly #timing: Timing;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #shared: SharedCircuit | undefined;
  readonly #heed: Heed;
  readonly #listeners = new Set<(event: CircuitEvent) => unknown>();
  /** Tokens whose result is awaited. Weak: a caller that loses its token costs nothing. */
  readonly #awaited = new WeakSet<Token>();
  #circuit: Circuit;
  #denial: FleetView | null = null;
  #forced = false;
  #heldSince = 0;
  #opened = { since: Number.NaN, at: 0 };
  #askedAt = Number.NEGATIVE_INFINITY;
  #failedAt: number | null = null;
  #trial: Trial | null = null;
  #usedLease: number | null = null;
  #outcome: LeaseOutcome | null = null;
  #toldWant: Want = "no";
  #probeNow = false;
  #lastErrors: readonly string[] = [];
  #announced: State = "closed";

  constructor({ config, clock, random, shared }: BreakerOptions) {
    this.#timing = timing(config);
    this.#clock = clock;
    this.#random = random;
    this.#shared = shared;
    this.#heed = new Heed(this.#timing.heedMs);
    this.#circuit = newCircuit(Math.floor(random() * 2 ** 32));
    shared?.attach(this);
  }

  permit(): Permit {
    const now = this.#settle();
    this.#askedAt = now;
    const permit = this.#decide(now);
    if (permit.kind !== "denied") {
      this.#awaited.add(permit.token);
      this.#heed.admitted();
    } else if (this.#want(now) !== this.#toldWant) {
      this.#shared?.wake();
    }
    this.#announce(now);
    return permit;
  }

  report(token: Token, result: Result): void {
    if (!this.#awaited.delete(token)) return;
    const now = this.#settle();
    if (sameGeneration(token.generation, this.#circuit.generation)) this.#learn(token.generation, result, now);
    this.#announce(this.#settle());
  }

  get snapshot(): CircuitSnapshot {
    const now = this.#settle();
    this.#announce(now);
    return this.#describe(now);
  }

  on(listener: (event: CircuitEvent) => unknown): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  force(open: boolean): void {
    const now = this.#settle();
    this.#forced = open;
    this.#announce(now);
  }

  reset(): void {
    const now = this.#settle();
    this.#advance({ kind: "reset" }, now);
    this.#probeNow = true;
    this.#shared?.wake();
    this.#announce(now);
  }

  async close(): Promise<void> {
    await this.#shared?.close();
  }

  standing(): Standing {
    const now = this.#settle();
    const circuit = this.#circuit;
    const failing = (circuit.kind === "open" || circuit.kind === "half_open") && circuit.evidence !== "none";
    this.#toldWant = this.#want(now);
    // A lease that is given back must not be used while the word is on its way.
    if (this.#toldWant === "no") this.#usedLease = this.#shared?.view(now)?.lease?.number ?? this.#usedLease;
    return {
      openAge: failing ? now - circuit.openedAt : null,
      failureAge: this.#failedAt === null ? null : now - this.#failedAt,
      dueIn: circuit.kind === "open" ? Math.max(0, circuit.probeAt - now) : 0,
      want: this.#toldWant,
      outcome: this.#outcome,
      probeNow: this.#probeNow,
    };
  }

  delivered({ outcome, probeNow }: Standing): void {
    if (this.#outcome === outcome) this.#outcome = null;
    if (probeNow) this.#probeNow = false;
  }

  changed(): void {
    this.#announce(this.#settle());
  }

  /** Takes in what has happened since. @returns the time as of which all that follows is decided */
  #settle(): number {
    const now = this.#clock.monotonic();
    const before = this.#denial;
    if (before === null && stateOf(this.#situation) === "closed") this.#heldSince = now;
    this.#denial = this.#heed.denial(this.#shared?.view(now) ?? null, now);
    this.#advance({ kind: "time" }, now);
    if (before !== null && this.#denial === null) this.#advance({ kind: "lifted" }, now);
    return now;
  }

  #decide(now: number): Permit {
    if (this.#forced) return this.#deny(now);
    const admitted = admission(this.#timing, this.#circuit, this.#random(), now);
    if (admitted === "deny") return this.#deny(now);
    if (this.#denial !== null) return this.#probeForFleet(this.#denial, now);
    return admitted === "trial" ? this.#findOut(now) : this.#pass(now);
  }

  #deny(now: number): Permit {
    return { kind: "denied", cause: causeOf(this.#situation), retryInMs: retryIn(this.#situation, this.#timing, now) };
  }

  /** The fleet's circuit is open. INVARIANT: a call goes only under an unused lease, which one process holds at a time. */
  #probeForFleet({ lease }: FleetView, now: number): Permit {
    const leaseMs = Math.floor((lease?.until ?? now) - now);
    // Where little is left of it, a probe might not end in time; it is about to be renewed.
    if (lease === null || lease.number === this.#usedLease || leaseMs < this.#timing.leaseMs / 2) {
      this.#heed.denied(now);
      return this.#deny(now);
    }
    this.#usedLease = lease.number;
    return { kind: "probe", token: this.#beginTrial(leaseMs, lease.number, now), leaseMs };
  }

  /** The fleet has nothing against it. If its probe has succeeded, this is not another probe, but the first call. */
  #findOut(now: number): Permit {
    const { leaseMs } = this.#timing;
    const probed = this.#fleetRecovered(now);
    const token = this.#beginTrial(leaseMs, null, now);
    return probed ? { kind: "call", token } : { kind: "probe", token, leaseMs };
  }

  #pass(now: number): Permit {
    this.#advance({ kind: "passed" }, now);
    return { kind: "call", token: { generation: this.#circuit.generation } };
  }

  #beginTrial(leaseMs: number, lease: number | null, now: number): Token {
    this.#advance({ kind: "trial", leaseMs }, now);
    const { generation } = this.#circuit;
    this.#trial = { generation, lease, againstFleet: this.#heed.overruled };
    return { generation };
  }

  #fleetRecovered(now: number): boolean {
    const view = this.#shared?.view(now) ?? null;
    if (view === null || view.open || view.recoveredAt === null || this.#circuit.kind !== "open") return false;
    return this.#circuit.evidence === "none" || view.recoveredAt > this.#circuit.openedAt;
  }

  #learn(generation: Generation, result: Result, now: number): void {
    const before = this.#circuit.kind;
    if (result.kind === "failure") this.#noteFailure(result.error, now);
    this.#advance({ kind: "result", generation, outcome: result.kind, roll: this.#random() }, now);
    if (this.#trial !== null && sameGeneration(this.#trial.generation, generation))
      this.#endTrial(this.#trial, result, now);
    if (this.#circuit.kind !== before) this.#shared?.wake();
  }

  #noteFailure(error: string, now: number): void {
    this.#failedAt = now;
    this.#lastErrors = [clipped(error, ERROR_BYTES), ...this.#lastErrors].slice(0, KEPT_ERRORS);
  }

  #endTrial({ lease, againstFleet }: Trial, result: Result, now: number): void {
    this.#trial = null;
    if (lease !== null) this.#outcome = { lease, outcome: result.kind };
    if (result.kind !== "success") return;
    if (againstFleet) this.#heed.contradicted(now, this.#timing.heedMs);
    // The fleet is about to hear of it.
    else if (lease !== null) this.#heed.contradicted(now, 2 * this.#timing.pollMs);
  }

  get #situation(): Situation {
    return { circuit: this.#circuit, denial: this.#denial, forced: this.#forced };
  }

  #advance(input: Input, now: number): void {
    this.#circuit = step(this.#timing, this.#circuit, input, now);
  }

  #want(now: number): Want {
    const [circuit, denial] = [this.#circuit, this.#denial];
    if (denial === null) return "no";
    if (circuit.kind === "half_open") return typeof this.#trial?.lease === "number" ? "probing" : "no";
    if (circuit.kind === "open" && now < circuit.probeAt) return "no";
    const quiet = now - this.#askedAt;
    if (quiet <= BUSY_MS) return "busy";
    return quiet > this.#timing.heedMs || denial.challenged ? "no" : "idle";
  }

  #describe(now: number): CircuitSnapshot {
    const state = stateOf(this.#situation);
    return {
      state,
      cause: state === "closed" ? null : causeOf(this.#situation),
      consecutiveFailures: this.#circuit.failures,
      openedLocally: ownCountOpened(this.#situation),
      openedAt: state === "closed" ? null : this.#openedAt(now),
      nextProbeInMs: state === "open" && !this.#forced ? retryIn(this.#situation, this.#timing, now) : null,
      lastErrors: this.#lastErrors,
    };
  }

  #openedAt(now: number): Micros {
    const since = this.#circuit.kind === "closed" ? this.#heldSince : this.#circuit.openedAt;
    // Read off the wall clock once, so that it stays what it was when that clock is set.
    if (this.#opened.since !== since)
      this.#opened = { since, at: Math.round(this.#clock.now() - (now - since) * 1000) };
    return this.#opened.at;
  }

  #announce(now: number): void {
    const [from, to] = [this.#announced, stateOf(this.#situation)];
    if (from === to) return;
    this.#announced = to;
    const snapshot = this.#describe(now);
    for (const listener of this.#listeners) {
      try {
        const result = listener({ from, to, cause: snapshot.cause, snapshot });
        // A listener may be async, and its rejection would end the process.
        if (result instanceof Promise) result.catch(warn);
      } catch (error) {
        // A listener's mistake must not become the caller's, whose permit is on its way.
        warn(error);
      }
    }
  }
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
