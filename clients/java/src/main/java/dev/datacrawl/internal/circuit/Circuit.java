package dev.datacrawl.internal.circuit;

/**
 * The circuit as a pure state machine: a change makes another object. Times are milliseconds of the monotonic clock.
 *
 * <p>The same rules as the TypeScript client's; clients/vectors/circuit.json holds both to them.
 */
final class Circuit {
  enum Kind {
    CLOSED,
    OPEN,
    HALF_OPEN,
    RECOVERING
  }

  enum Admission {
    PASS,
    /** Only as the one call that finds out how the service is. */
    TRIAL,
    DENY
  }

  final Kind kind;
  /** Counts the states, so that a call's result counts only in the state that admitted the call. */
  final long generation;
  /** Consecutive failures; only a success sets it back to 0. */
  final int failures;
  /** Meaningless while closed. */
  final double openedAt;
  /** Open: when the next probe is due. Half-open: when the probe is given up. Recovering: since when. */
  final double at;
  /** Recovering: calls in flight. */
  final int inFlight;

  private Circuit(Kind kind, long generation, int failures, double openedAt, double at, int inFlight) {
    this.kind = kind;
    this.generation = generation;
    this.failures = failures;
    this.openedAt = openedAt;
    this.at = at;
    this.inFlight = inFlight;
  }

  static Circuit closed() {
    return new Circuit(Kind.CLOSED, 0, 0, 0, 0, 0);
  }

  /** What time alone does. */
  Circuit elapsed(Timing timing, double now) {
    // The probe hangs or its caller is gone: the next call probes, and the lost probe's result belongs to an old generation.
    if (kind == Kind.HALF_OPEN && now >= at) return next(Kind.OPEN, failures, openedAt, at);
    // The same generation: a call that the ramp admitted still says how the service is.
    if (kind == Kind.RECOVERING && now - at >= timing.rampMs)
      return new Circuit(Kind.CLOSED, generation, failures, 0, 0, 0);
    return this;
  }

  /** @param roll in [0, 1), decides who is in the ramp's share */
  Admission admission(Timing timing, double roll, double now) {
    switch (kind) {
      case CLOSED:
        return Admission.PASS;
      case OPEN:
        return now >= at ? Admission.TRIAL : Admission.DENY;
      case HALF_OPEN:
        return Admission.DENY;
      default:
        // One call at a time is no stampede, so a process that makes them one by one loses none to the ramp.
        return inFlight == 0 || roll < (now - at) / timing.rampMs ? Admission.PASS : Admission.DENY;
    }
  }

  Circuit passed() {
    return kind == Kind.RECOVERING ? withInFlight(failures, inFlight + 1) : this;
  }

  Circuit trial(Timing timing, double now) {
    return next(Kind.HALF_OPEN, failures, openedAt, now + timing.leaseMs);
  }

  Circuit succeeded(double now) {
    switch (kind) {
      case CLOSED:
        return failures == 0 ? this : new Circuit(Kind.CLOSED, generation, 0, 0, 0, 0);
      case HALF_OPEN:
        return next(Kind.RECOVERING, 0, openedAt, now);
      case RECOVERING:
        return withInFlight(0, Math.max(0, inFlight - 1));
      default:
        return this;
    }
  }

  /** @param roll in [0, 1), spreads the next probe */
  Circuit failed(Timing timing, double roll, double now) {
    if (kind == Kind.OPEN) return this;
    int counted = failures + 1;
    if (kind == Kind.CLOSED && counted < timing.failures) return new Circuit(Kind.CLOSED, generation, counted, 0, 0, 0);
    // A failed probe continues the outage that it probed; after a success it is another one.
    double since = kind == Kind.HALF_OPEN ? openedAt : now;
    return next(Kind.OPEN, counted, since, now + timing.probeAfterMs * (0.9 + 0.2 * roll));
  }

  /** A call that says nothing about the service: cancelled by its caller, or refused for what it asked. */
  Circuit ignored(Timing timing, double now) {
    if (kind == Kind.RECOVERING) return withInFlight(failures, Math.max(0, inFlight - 1));
    // Soon, but not at once: callers that keep cancelling must not become a stream of probes.
    if (kind == Kind.HALF_OPEN) return next(Kind.OPEN, failures, openedAt, now + timing.probeAfterMs / 10);
    return this;
  }

  /** How long until a call that is denied now may be let through, in milliseconds, rounded up. */
  long retryIn(Timing timing, double now) {
    double until = kind == Kind.CLOSED ? now : kind == Kind.RECOVERING ? at + timing.rampMs : at;
    return (long) Math.max(0, Math.ceil(until - now));
  }

  private Circuit next(Kind kind, int failures, double openedAt, double at) {
    return new Circuit(kind, generation + 1, failures, openedAt, at, 0);
  }

  private Circuit withInFlight(int failures, int inFlight) {
    return new Circuit(kind, generation, failures, openedAt, at, inFlight);
  }
}
