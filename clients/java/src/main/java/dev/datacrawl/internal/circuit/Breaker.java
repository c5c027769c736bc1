package dev.datacrawl.internal.circuit;

import dev.datacrawl.CircuitSnapshot;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.function.DoubleSupplier;

/** What a call asks before it asks the service. Safe for threads. */
public final class Breaker {
  /** How a call went, whatever its attempts. */
  public enum Result {
    /** The service decided, allow or deny. */
    SUCCESS,
    /** It did not, and that is its fault. */
    FAILURE,
    /** It did not, and that says nothing about it. */
    IGNORED
  }

  /** Leave for one call, or none. */
  public static final class Permit {
    private final long generation;
    private boolean reported;
    public final boolean denied;
    /** The call finds out how the service is, and must end within {@link #leaseMs}. */
    public final boolean probe;
    public final long leaseMs;
    /** Until a call that is denied now may be let through. */
    public final long retryInMs;

    private Permit(long generation, boolean denied, boolean probe, long leaseMs, long retryInMs) {
      this.generation = generation;
      this.denied = denied;
      this.probe = probe;
      this.leaseMs = leaseMs;
      this.retryInMs = retryInMs;
    }
  }

  private static final int KEPT_ERRORS = 5;

  private final Timing timing;
  private final DoubleSupplier monotonicMs;
  private final DoubleSupplier random;
  private final Deque<String> lastErrors = new ArrayDeque<>();
  private Circuit circuit = Circuit.closed();

  /** @param random uniform in [0, 1) */
  public Breaker(Timing timing, DoubleSupplier monotonicMs, DoubleSupplier random) {
    this.timing = timing;
    this.monotonicMs = monotonicMs;
    this.random = random;
  }

  /** Takes microseconds, and never waits. */
  public synchronized Permit permit() {
    double now = settle();
    switch (circuit.admission(timing, random.getAsDouble(), now)) {
      case PASS:
        circuit = circuit.passed();
        return new Permit(circuit.generation, false, false, 0, 0);
      case TRIAL:
        circuit = circuit.trial(timing, now);
        return new Permit(circuit.generation, false, true, (long) timing.leaseMs, 0);
      default:
        return new Permit(circuit.generation, true, false, 0, circuit.retryIn(timing, now));
    }
  }

  /** Once for each permit that was not denied. A repeated report is ignored, and so is one of a state that is over. */
  public synchronized void report(Permit permit, Result result, String error) {
    if (permit.denied || permit.reported) return;
    permit.reported = true;
    double now = settle();
    // INVARIANT: a result counts only in the state that admitted its call.
    if (permit.generation == circuit.generation) learn(result, error, now);
    settle();
  }

  private void learn(Result result, String error, double now) {
    switch (result) {
      case SUCCESS:
        circuit = circuit.succeeded(now);
        return;
      case FAILURE:
        lastErrors.addFirst(error);
        if (lastErrors.size() > KEPT_ERRORS) lastErrors.removeLast();
        circuit = circuit.failed(timing, random.getAsDouble(), now);
        return;
      default:
        circuit = circuit.ignored(timing, now);
    }
  }

  public synchronized CircuitSnapshot snapshot() {
    double now = settle();
    boolean isClosed = circuit.kind == Circuit.Kind.CLOSED;
    Instant openedAt = isClosed ? null : Instant.now().minusMillis((long) (now - circuit.openedAt));
    Duration nextProbe =
        circuit.kind == Circuit.Kind.OPEN ? Duration.ofMillis(circuit.retryIn(timing, now)) : null;
    CircuitSnapshot.State state = CircuitSnapshot.State.valueOf(circuit.kind.name());
    return new CircuitSnapshot(state, circuit.failures, openedAt, nextProbe, new ArrayList<>(lastErrors));
  }

  private double settle() {
    double now = monotonicMs.getAsDouble();
    circuit = circuit.elapsed(timing, now);
    return now;
  }
}
