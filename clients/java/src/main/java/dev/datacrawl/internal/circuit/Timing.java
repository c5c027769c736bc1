package dev.datacrawl.internal.circuit;

/** Every duration of a circuit, in milliseconds. */
public final class Timing {
  /** From the first success to full admission. */
  private static final double RAMP_MS = 5000;

  final int failures;
  final double probeAfterMs;
  final double rampMs;
  /** How long one probe may take; then it is given up and another may follow. */
  final double leaseMs;

  /** @param failures consecutive failures that open the circuit, at least 1 */
  public Timing(int failures, long probeAfterMs) {
    this(failures, probeAfterMs, RAMP_MS, Math.floor(Math.min(10_000, Math.max(1000, probeAfterMs / 2.0))));
  }

  Timing(int failures, double probeAfterMs, double rampMs, double leaseMs) {
    this.failures = failures;
    this.probeAfterMs = probeAfterMs;
    this.rampMs = rampMs;
    this.leaseMs = leaseMs;
  }
}
