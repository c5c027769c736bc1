package dev.datacrawl;

import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/** The circuit at one moment. Immutable. */
public final class CircuitSnapshot {
  /** The states of a circuit. */
  public enum State {
    /** Calls pass. */
    CLOSED,
    /** Calls are denied at once. */
    OPEN,
    /** One call is the probe, the others are denied at once. */
    HALF_OPEN,
    /** The probe succeeded; a growing share of the calls passes, and always one at a time. */
    RECOVERING
  }

  private final State state;
  private final int consecutiveFailures;
  private final Instant openedAt;
  private final Duration nextProbeIn;
  private final List<String> lastErrors;

  /**
   * A snapshot, as {@link DataCrawl#circuit} returns it.
   *
   * @param openedAt null while closed
   * @param nextProbeIn null unless open
   */
  public CircuitSnapshot(
      State state, int consecutiveFailures, Instant openedAt, Duration nextProbeIn, List<String> lastErrors) {
    this.state = state;
    this.consecutiveFailures = consecutiveFailures;
    this.openedAt = openedAt;
    this.nextProbeIn = nextProbeIn;
    this.lastErrors = Collections.unmodifiableList(lastErrors);
  }

  /** The state now. */
  public State state() {
    return state;
  }

  /** Failed calls since the last success. */
  public int consecutiveFailures() {
    return consecutiveFailures;
  }

  /** When it opened; empty while closed. */
  public Optional<Instant> openedAt() {
    return Optional.ofNullable(openedAt);
  }

  /** Until the next probe; zero if the next call may be it. Empty unless open. */
  public Optional<Duration> nextProbeIn() {
    return Optional.ofNullable(nextProbeIn);
  }

  /** The last failures, newest first, at most 5. */
  public List<String> lastErrors() {
    return lastErrors;
  }

  @Override
  public String toString() {
    return state + ", " + consecutiveFailures + " failures in a row";
  }
}
