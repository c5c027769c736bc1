package dev.datacrawl;

import dev.datacrawl.internal.json.Utf8;
import java.time.Duration;
import java.util.Objects;

/** What is reported of an execution's end. Immutable. */
public final class ExecutionReport {
  private static final int MAX_CODE_BYTES = 128;
  private static final int MAX_SUMMARY_BYTES = 1024;

  private final Outcome outcome;
  private final String errorCode;
  private final Duration duration;
  private final String summary;

  private ExecutionReport(Outcome outcome, String errorCode, Duration duration, String summary) {
    this.outcome = outcome;
    this.errorCode = errorCode;
    this.duration = duration;
    this.summary = summary;
  }

  /** A report of the outcome alone. The methods {@code with…} add to it. */
  public static ExecutionReport of(Outcome outcome) {
    return new ExecutionReport(Objects.requireNonNull(outcome, "outcome must not be null"), "", null, "");
  }

  /**
   * The same with the tool's error code, such as {@code HTTP_503}.
   *
   * @throws IllegalArgumentException if it has over 128 bytes or control characters
   */
  public ExecutionReport withErrorCode(String errorCode) {
    if (!isText(errorCode, MAX_CODE_BYTES) || errorCode.chars().anyMatch(Character::isISOControl))
      throw new IllegalArgumentException(
          "errorCode must have at most " + MAX_CODE_BYTES + " bytes and no control characters");
    return new ExecutionReport(outcome, errorCode, duration, summary);
  }

  /**
   * The same with the time that the tool ran.
   *
   * @throws IllegalArgumentException if it is negative
   */
  public ExecutionReport withDuration(Duration duration) {
    if (duration.isNegative()) throw new IllegalArgumentException("duration must not be negative, is " + duration);
    return new ExecutionReport(outcome, errorCode, duration, summary);
  }

  /**
   * The same with what happened, for people. A digest is stored where the policy redacts the tool's payload.
   *
   * @throws IllegalArgumentException if it has over 1,024 bytes or NUL
   */
  public ExecutionReport withSummary(String summary) {
    if (!isText(summary, MAX_SUMMARY_BYTES) || summary.indexOf('\0') >= 0)
      throw new IllegalArgumentException("summary must have at most " + MAX_SUMMARY_BYTES + " bytes and no NUL");
    return new ExecutionReport(outcome, errorCode, duration, summary);
  }

  private static boolean isText(String text, int maxBytes) {
    return Utf8.isWellFormed(text) && Utf8.length(text) <= maxBytes;
  }

  /** How it ended. */
  public Outcome outcome() {
    return outcome;
  }

  /** The tool's error code; empty if there is none. */
  public String errorCode() {
    return errorCode;
  }

  /** How long the tool ran; null if that is not known. */
  public Duration duration() {
    return duration;
  }

  /** What happened; empty if nothing was said. */
  public String summary() {
    return summary;
  }

  @Override
  public String toString() {
    return outcome + (errorCode.isEmpty() ? "" : " (" + errorCode + ")");
  }
}
