package dev.datacrawl;

import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/** What became of a report. Immutable. */
public final class Reported {
  private final Instant endedAt;
  private final boolean replayed;
  private final Reason reason;
  private final String message;
  private final RefusalCode code;
  private final Duration retryAfter;

  private Reported(
      Instant endedAt, boolean replayed, Reason reason, String message, RefusalCode code, Duration retryAfter) {
    this.endedAt = endedAt;
    this.replayed = replayed;
    this.reason = reason;
    this.message = message;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether the outcome is on record, by this report or by an equal one before it. Else the execution stays without an end. */
  public boolean recorded() {
    return endedAt != null;
  }

  /** When it was recorded; empty if it was not. */
  public Optional<Instant> endedAt() {
    return Optional.ofNullable(endedAt);
  }

  /** Whether it had been recorded before. */
  public boolean replayed() {
    return replayed;
  }

  /** Why it was not recorded, as in a verdict; empty if it was. */
  public Optional<Reason> reason() {
    return Optional.ofNullable(reason);
  }

  /** The reason as a sentence for people; empty if it was recorded. Not stable. */
  public String message() {
    return message;
  }

  /** With the reason {@code REQUEST_REFUSED}, as in a verdict; else empty. */
  public Optional<RefusalCode> code() {
    return Optional.ofNullable(code);
  }

  /** How long the service asks to wait before a retry; empty if it does not say. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  @Override
  public String toString() {
    return recorded() ? "recorded at " + endedAt : "not recorded (" + reason + "): " + message;
  }

  /** A report that is on record. For tests and stand-ins, as the other one. */
  public static Reported recorded(Instant endedAt, boolean replayed) {
    return new Reported(endedAt, replayed, null, "", null, null);
  }

  /**
   * A report that is not on record.
   *
   * @param code null if there is none
   * @param retryAfter null if it is not known
   */
  public static Reported notRecorded(Reason reason, String message, RefusalCode code, Duration retryAfter) {
    return new Reported(null, false, reason, message, code, retryAfter);
  }
}
