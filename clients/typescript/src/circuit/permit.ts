import type { Micros } from "@datacrawl/core/clock";
import type { Generation } from "./circuit.ts";
import type { Cause, State } from "./situation.ts";

/** Leave to call, or not. Every permit that was not denied is reported once, with its token. */
export type Permit =
  | { readonly kind: "call"; readonly token: Token }
  /** This call is the probe. It must end within `leaseMs`: after that another may probe, and its result no longer counts. */
  | { readonly kind: "probe"; readonly token: Token; readonly leaseMs: number }
  | { readonly kind: "denied"; readonly cause: Cause; readonly retryInMs: number };

/**
 * How a call went, whatever its attempts. `success`: the service decided, allow or deny. `failure`: it did not, and that
 * is its fault. `ignored`: it did not, and that says nothing about it (bad request, credential refused, caller's cancel).
 */
export type Result =
  | { readonly kind: "success" }
  | { readonly kind: "failure"; readonly error: string }
  | { readonly kind: "ignored" };

/** Made only by {@link Breaker.permit} and compared by identity, so a copy is not valid. */
export interface Token {
  readonly generation: Generation;
}

/** The circuit at one moment. */
export interface CircuitSnapshot {
  /** `"closed"`: calls pass. `"open"`: calls are denied. `"half_open"`: one probe passes. `"recovering"`: a growing share passes. */
  readonly state: State;
  /** Whose failures opened it: `"local"` this process', `"shared"` others', `"forced"` an operator's command. Null while closed. */
  readonly cause: Cause | null;
  /** Failed calls of this process since its last success. */
  readonly consecutiveFailures: number;
  /**
   * Whether failures that this process counted have opened the circuit, and it is open or its probe is running: the only state in which
   * a bypass may act. False while a command holds the circuit open, and while it recovers.
   */
  readonly openedLocally: boolean;
  /** When it opened, in microseconds since 1970; null while closed. */
  readonly openedAt: Micros | null;
  /** Milliseconds to the next probe; 0 if the next call may be it. Null unless open, and while a command holds it open. */
  readonly nextProbeInMs: number | null;
  /** The last failures, newest first: at most 5, each at most 200 bytes. */
  readonly lastErrors: readonly string[];
}

/** A change of the circuit's state. */
export interface CircuitEvent {
  /** The state before. */
  readonly from: State;
  /** The state now. */
  readonly to: State;
  /** As in the snapshot. */
  readonly cause: Cause | null;
  /** The circuit after the change. */
  readonly snapshot: CircuitSnapshot;
}

/** The one object that a guard asks before it calls the service. */
export interface Breaker {
  /** Synchronous; takes microseconds, and never awaits the network. */
  permit(): Permit;
  /** Once per permit that was not denied. A repeated report is ignored, and so is one that comes after the state has moved on. */
  report(token: Token, result: Result): void;
  readonly snapshot: CircuitSnapshot;
  /**
   * Calls `listener` at each change of state; what it throws, or rejects with, becomes a process warning. What time alone changes
   * is noticed at the next permit, report, snapshot or word from the fleet. @returns how to stop
   */
  on(listener: (event: CircuitEvent) => unknown): () => void;
  /** An operator's command to hold the circuit open, or its end. It cannot close the circuit. */
  force(open: boolean): void;
  /** Makes the probe due now, this process' and the fleet's. It closes nothing. */
  reset(): void;
  /** Leaves the fleet, if there is one; within about a second. */
  close(): Promise<void>;
}
