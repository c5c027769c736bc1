import type { Circuit } from "./circuit.ts";
import type { Timing } from "./config.ts";
import type { FleetView } from "./fleet.ts";

/** Everything that has a say in whether a call may go. */
export interface Situation {
  readonly circuit: Circuit;
  /** What the fleet says, if it denies. */
  readonly denial: FleetView | null;
  /** An operator's command holds the circuit open. */
  readonly forced: boolean;
}

export type State = Circuit["kind"];

/** Why a call is denied: this process's own count of failures, other processes' failures, or an operator's command. */
export type Cause = "local" | "shared" | "forced";

/** The more restrictive of the command, the fleet's state and the local one. */
export function stateOf({ circuit, denial, forced }: Situation): State {
  if (forced) return "open";
  if (circuit.kind === "half_open") return "half_open";
  return denial === null ? circuit.kind : "open";
}

/** Of no meaning while the state is closed. */
export function causeOf(situation: Situation): Cause {
  const { circuit, denial, forced } = situation;
  if (forced) return "forced";
  if (ownCountOpened(situation)) return "local";
  return circuit.kind === "recovering" && denial === null && circuit.evidence === "count" ? "local" : "shared";
}

/** INVARIANT: false under a command, for other processes' failures alone, and once a call has succeeded: a bypass acts on no less. */
export function ownCountOpened({ circuit, forced }: Situation): boolean {
  return !forced && (circuit.kind === "open" || circuit.kind === "half_open") && circuit.evidence === "count";
}

/** Milliseconds until a call that is denied now may fare better; 0 if that depends on something other than time. */
export function retryIn(situation: Situation, timing: Timing, now: number): number {
  if (situation.forced) return timing.probeAfterMs;
  const fleet = situation.denial?.probeAt ?? now;
  return Math.max(0, Math.ceil(Math.max(fleet, localChange(situation, timing, now)) - now));
}

function localChange({ circuit, denial }: Situation, timing: Timing, now: number): number {
  switch (circuit.kind) {
    case "closed":
      return now;
    case "open":
      return circuit.probeAt;
    case "half_open":
      return circuit.until;
    case "recovering":
      return denial === null ? circuit.since + timing.rampMs : now;
  }
}
