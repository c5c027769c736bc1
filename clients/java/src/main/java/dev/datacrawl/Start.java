package dev.datacrawl;

import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/** What became of a start. Immutable. Run the tool only if {@link #started} is true. */
public final class Start {
  /** The states of a start. Only {@link #STARTED} permits the caller to run the tool. */
  public enum State {
    /** This call started the execution. */
    STARTED,
    /** Another call started it before: the tool has run, is running, or its process has died. */
    ALREADY_STARTED,
    /** It was not started, as far as is known. */
    REFUSED
  }

  private final State state;
  private final String message;
  private final String decisionId;
  private final Source source;
  private String executionId = "";
  private Instant startedAt;
  private String startedBy = "";
  private Instant reportDueAt;
  private Outcome outcome;
  private Instant endedAt;
  private String reason = "";
  private RefusalCode code;
  private Duration retryAfter;

  private Start(State state, String message, String decisionId, Source source) {
    this.state = state;
    this.message = message;
    this.decisionId = decisionId;
    this.source = source;
  }

  /** Whether this call started the execution: run the tool, once, and report how it ended. */
  public boolean started() {
    return state == State.STARTED;
  }

  /** What became of it. */
  public State state() {
    return state;
  }

  /** The state as a sentence for people. Not stable. */
  public String message() {
    return message;
  }

  /** The decision that was to be started. */
  public String decisionId() {
    return decisionId;
  }

  /** UUID that the report names; empty unless {@link #started}. */
  public String executionId() {
    return executionId;
  }

  /** When it was started; empty if it was refused. */
  public Optional<Instant> startedAt() {
    return Optional.ofNullable(startedAt);
  }

  /** The public id of the credential that started it; empty if it was refused. */
  public String startedBy() {
    return startedBy;
  }

  /** When it counts, or has counted, as unresolved without a report; empty if it was refused. */
  public Optional<Instant> reportDueAt() {
    return Optional.ofNullable(reportDueAt);
  }

  /** How an execution that was started before has ended; empty as long as that is not known. */
  public Optional<Outcome> outcome() {
    return Optional.ofNullable(outcome);
  }

  /** When its outcome was recorded; empty before that. */
  public Optional<Instant> endedAt() {
    return Optional.ofNullable(endedAt);
  }

  /**
   * Why it was refused: {@code UNKNOWN_DECISION}, {@code NOT_ALLOWED}, {@code EXPIRED}, {@code AGENT_FROZEN} or {@code APPROVAL_LAPSED} by the
   * service, or the name of a guard's {@link Reason}; else empty.
   */
  public String reason() {
    return reason;
  }

  /** With the reason {@code REQUEST_REFUSED}, as in a verdict; else empty. */
  public Optional<RefusalCode> code() {
    return Optional.ofNullable(code);
  }

  /** How long the service asks to wait before a retry; empty if it does not say. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  /** Who keeps the start, or refuses: the service, or a guard. */
  public Source source() {
    return source;
  }

  @Override
  public String toString() {
    return state + (reason.isEmpty() ? "" : " (" + reason + ")") + ": " + message;
  }

  /** A start that permits its caller to run the tool. For tests and stand-ins, as the other two. */
  public static Start started(
      String message,
      String decisionId,
      Source source,
      String executionId,
      Instant startedAt,
      String startedBy,
      Instant reportDueAt) {
    Start start = new Start(State.STARTED, message, decisionId, source);
    start.executionId = executionId;
    start.startedAt = startedAt;
    start.startedBy = startedBy;
    start.reportDueAt = reportDueAt;
    return start;
  }

  /**
   * A start that came after another one.
   *
   * @param outcome null if it is not known
   * @param endedAt null if the outcome is
   */
  public static Start alreadyStarted(
      String message,
      String decisionId,
      Source source,
      Instant startedAt,
      String startedBy,
      Instant reportDueAt,
      Outcome outcome,
      Instant endedAt) {
    Start start = new Start(State.ALREADY_STARTED, message, decisionId, source);
    start.startedAt = startedAt;
    start.startedBy = startedBy;
    start.reportDueAt = reportDueAt;
    start.outcome = outcome;
    start.endedAt = endedAt;
    return start;
  }

  /**
   * A start that was refused.
   *
   * @param code null if there is none
   * @param retryAfter null if it is not known
   */
  public static Start refused(
      String message, String decisionId, Source source, String reason, RefusalCode code, Duration retryAfter) {
    Start start = new Start(State.REFUSED, message, decisionId, source);
    start.reason = reason;
    start.code = code;
    start.retryAfter = retryAfter;
    return start;
  }
}
