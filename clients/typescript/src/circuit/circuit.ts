/**
 * One process's circuit, as a pure state machine: every transition is {@link step}, every question {@link admission}. It
 * knows only what this process has seen of the service itself; what other processes say is added in `breaker.ts`.
 *
 * Times are milliseconds of the monotonic clock. (Inner state as a union: after cockatiel. Generations that make a late
 * result harmless: after sony/gobreaker.)
 */

export interface CircuitConfig {
  /** Consecutive failures that open the circuit. */
  readonly failures: number;
  /** From the opening, or from a failed probe, to the next probe; ±10 %. */
  readonly probeAfterMs: number;
  /** From the first success to full admission. */
  readonly rampMs: number;
}

/** Names a state, so that a call's result counts only in the state that admitted the call. */
export interface Generation {
  /** Random for each machine. */
  readonly epoch: number;
  readonly count: number;
}

/**
 * What this process has itself seen of the outage: nothing, a call that was let through and failed, or the whole count of
 * consecutive failures.
 */
type Evidence = "none" | "trial" | "count";

interface Outage {
  readonly openedAt: number;
  readonly evidence: Evidence;
}

interface Common {
  readonly generation: Generation;
  /** Consecutive failures; only a success sets it back to 0. */
  readonly failures: number;
}

type Closed = Common & { readonly kind: "closed" };
type Open = Common & Outage & { readonly kind: "open"; readonly probeAt: number };
/** One call is under way to find out; `until` is when it is given up. */
type HalfOpen = Common & Outage & { readonly kind: "half_open"; readonly until: number };
/** A call has succeeded; a growing share of the calls passes. */
type Recovering = Common & Outage & { readonly kind: "recovering"; readonly since: number; readonly inFlight: number };
export type Circuit = Closed | Open | HalfOpen | Recovering;

export type Outcome = "success" | "failure" | "ignored";

export type Input =
  | { readonly kind: "time" }
  /** A call was let through. */
  | { readonly kind: "passed" }
  /** A call was let through to find out how the service is. */
  | { readonly kind: "trial"; readonly leaseMs: number }
  /** A call ended. `roll`, in [0, 1), spreads the next probe. */
  | { readonly kind: "result"; readonly generation: Generation; readonly outcome: Outcome; readonly roll: number }
  /** The probe is due now. */
  | { readonly kind: "reset" }
  /** The other processes' circuit, which had denied this one's calls, denies them no longer. */
  | { readonly kind: "lifted" };

export function newCircuit(epoch: number): Circuit {
  return { kind: "closed", generation: { epoch, count: 0 }, failures: 0 };
}

/** The state after `input`. Returns `circuit` itself if nothing changes. */
export function step(config: CircuitConfig, circuit: Circuit, input: Input, now: number): Circuit {
  const current = elapsed(config, circuit, now);
  switch (input.kind) {
    case "time":
      return current;
    case "passed":
      return current.kind === "recovering" ? { ...current, inFlight: current.inFlight + 1 } : current;
    case "trial":
      return trial(current, now, input.leaseMs);
    case "result":
      // INVARIANT: a result counts only in the state that admitted its call.
      return sameGeneration(input.generation, current.generation)
        ? result(config, current, input.outcome, input.roll, now)
        : current;
    case "reset":
      return current.kind === "open" ? { ...current, probeAt: now } : current;
    case "lifted":
      return lifted(current, now);
  }
}

/**
 * Whether a call may go now: `pass`, `trial` (only as the one call that finds out, see {@link Input}), or `deny`.
 * `circuit` is the state as of `now`; `roll`, in [0, 1), decides who is in the ramp's share.
 */
export function admission(
  config: CircuitConfig,
  circuit: Circuit,
  roll: number,
  now: number,
): "pass" | "trial" | "deny" {
  switch (circuit.kind) {
    case "closed":
      return "pass";
    case "open":
      return now >= circuit.probeAt ? "trial" : "deny";
    case "half_open":
      return "deny";
    case "recovering":
      // One call at a time is no stampede, so a process that makes them one by one loses none to the ramp.
      return circuit.inFlight === 0 || roll < (now - circuit.since) / config.rampMs ? "pass" : "deny";
  }
}

export function sameGeneration(a: Generation, b: Generation): boolean {
  return a.epoch === b.epoch && a.count === b.count;
}

/** What time alone does. */
function elapsed(config: CircuitConfig, circuit: Circuit, now: number): Circuit {
  if (circuit.kind === "half_open" && now >= circuit.until) {
    // The probe hangs or its caller is gone: the next call probes, and the lost probe's result belongs to an old generation.
    const { failures, openedAt, evidence } = circuit;
    return { kind: "open", generation: next(circuit), failures, openedAt, evidence, probeAt: circuit.until };
  }
  if (circuit.kind === "recovering" && now - circuit.since >= config.rampMs) {
    // The same generation: a call that the ramp admitted still shows how the service is.
    return { kind: "closed", generation: circuit.generation, failures: circuit.failures };
  }
  return circuit;
}

function trial(circuit: Circuit, now: number, leaseMs: number): Circuit {
  const { openedAt, evidence } = isOutage(circuit) ? circuit : { openedAt: now, evidence: "none" as const };
  return {
    kind: "half_open",
    generation: next(circuit),
    failures: circuit.failures,
    openedAt,
    evidence,
    until: now + leaseMs,
  };
}

function isOutage(circuit: Circuit): circuit is Open | HalfOpen {
  return circuit.kind === "open" || circuit.kind === "half_open";
}

function result(config: CircuitConfig, circuit: Circuit, outcome: Outcome, roll: number, now: number): Circuit {
  switch (outcome) {
    case "success":
      return succeeded(circuit, now);
    case "failure":
      return failed(config, circuit, roll, now);
    case "ignored":
      return inconclusive(config, circuit, now);
  }
}

function succeeded(circuit: Circuit, now: number): Circuit {
  switch (circuit.kind) {
    case "closed":
      return circuit.failures === 0 ? circuit : { ...circuit, failures: 0 };
    case "open":
      return circuit;
    case "half_open": {
      const { openedAt, evidence } = circuit;
      return {
        kind: "recovering",
        generation: next(circuit),
        failures: 0,
        openedAt,
        evidence,
        since: now,
        inFlight: 0,
      };
    }
    case "recovering":
      return { ...circuit, failures: 0, inFlight: Math.max(0, circuit.inFlight - 1) };
  }
}

function failed(config: CircuitConfig, circuit: Circuit, roll: number, now: number): Circuit {
  const failures = circuit.failures + 1;
  const counted = failures >= config.failures;
  if (circuit.kind === "open") return circuit;
  if (circuit.kind === "closed" && !counted) return { ...circuit, failures };
  const known = circuit.kind === "closed" ? "none" : circuit.evidence;
  return {
    kind: "open",
    generation: next(circuit),
    failures,
    // A failed probe goes on with the outage that it probed; after a success it is another one.
    openedAt: circuit.kind === "half_open" ? circuit.openedAt : now,
    evidence: counted || known === "count" ? "count" : "trial",
    probeAt: now + spread(config.probeAfterMs, roll),
  };
}

/** A call that says nothing about the service: cancelled by its caller, or refused for what it asked. */
function inconclusive(config: CircuitConfig, circuit: Circuit, now: number): Circuit {
  if (circuit.kind === "recovering") return { ...circuit, inFlight: Math.max(0, circuit.inFlight - 1) };
  if (circuit.kind !== "half_open") return circuit;
  const { failures, openedAt, evidence } = circuit;
  // Soon, but not at once: callers that keep cancelling must not become a stream of probes.
  const probeAt = now + config.probeAfterMs / 10;
  return { kind: "open", generation: next(circuit), failures, openedAt, evidence, probeAt };
}

/** INVARIANT: what others say never closes a circuit: the way opens only by a success that this process has seen. */
function lifted(circuit: Circuit, now: number): Circuit {
  if (circuit.kind !== "closed") return circuit;
  return {
    kind: "open",
    generation: next(circuit),
    failures: circuit.failures,
    openedAt: now,
    evidence: "none",
    probeAt: now,
  };
}

function next({ generation }: Circuit): Generation {
  return { epoch: generation.epoch, count: generation.count + 1 };
}

function spread(milliseconds: number, roll: number): number {
  return milliseconds * (0.9 + 0.2 * roll);
}
