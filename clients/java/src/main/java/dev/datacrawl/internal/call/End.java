package dev.datacrawl.internal.call;

import dev.datacrawl.RefusalCode;
import java.time.Duration;

/**
 * How an attempt, or a whole call, ended: with an answer of the service to this very question, or with the reason why there is none.
 *
 * @param <A> what an answer is
 */
public final class End<A> {
  /** The kinds, as clients/vectors/README.md names them. */
  public enum Kind {
    /** A well-formed answer to this question. */
    ANSWERED,
    /** Not a well-formed answer to this question. */
    MALFORMED,
    /** Not reached, or UNAVAILABLE: the same question may be asked again. */
    UNAVAILABLE,
    /** Another failure of the service. */
    FAILED,
    /** The service says that the deadline has passed. */
    LATE,
    /** The service declined: a credential, an argument, a limit. */
    REFUSED,
    /** The agent could not say who it is. Nothing was asked, and nothing is known of the service. */
    UNSENT,
    /** This client's deadline has passed. */
    DEADLINE,
    /** The caller cancelled. */
    CANCELLED
  }

  private static final int MAX_PROBLEM = 200;

  public final Kind kind;
  /** Null unless answered. */
  public final A answer;
  /** For people; empty if there is nothing to say. */
  public final String problem;
  /** Null unless refused. */
  public final Refusal refusal;
  /** This process looked at the deadline much too late, so that the wait says nothing of the service. */
  public final boolean busy;
  /** What was asked has answered with a status. */
  public final boolean isStatus;

  private End(Kind kind, A answer, String problem, Refusal refusal, boolean busy, boolean isStatus) {
    this.kind = kind;
    this.answer = answer;
    this.problem = problem;
    this.refusal = refusal;
    this.busy = busy;
    this.isStatus = isStatus;
  }

  public static <A> End<A> answered(A answer) {
    return new End<>(Kind.ANSWERED, answer, "", null, false, false);
  }

  public static <A> End<A> malformed(String problem) {
    return new End<>(Kind.MALFORMED, null, excerpt(problem), null, false, false);
  }

  public static <A> End<A> unavailable(String problem) {
    return new End<>(Kind.UNAVAILABLE, null, excerpt(problem), null, false, false);
  }

  public static <A> End<A> failed(String problem) {
    return new End<>(Kind.FAILED, null, excerpt(problem), null, false, false);
  }

  public static <A> End<A> unsent(String problem) {
    return new End<>(Kind.UNSENT, null, excerpt(problem), null, false, false);
  }

  public static <A> End<A> deadline(boolean busy) {
    return new End<>(Kind.DEADLINE, null, "", null, busy, false);
  }

  public static <A> End<A> cancelled() {
    return new End<>(Kind.CANCELLED, null, "", null, false, false);
  }

  /** The same without an answer, which it does not have. */
  @SuppressWarnings("unchecked")
  public <B> End<B> without() {
    if (kind == Kind.ANSWERED) throw new IllegalStateException("there is an answer");
    return (End<B>) this;
  }

  /**
   * What a status other than OK says about the service.
   *
   * @param detail the service's own message
   * @param retryAfter null if the service does not say
   */
  public static <A> End<A> ofStatus(Status status, String detail, Duration retryAfter) {
    String sentence = detail.endsWith(".") ? detail.substring(0, detail.length() - 1) : detail;
    String problem = excerpt(detail.isEmpty() ? status.name() : status + ": " + sentence);
    switch (status) {
      case UNAVAILABLE:
        return new End<>(Kind.UNAVAILABLE, null, problem, null, false, true);
      case DEADLINE_EXCEEDED:
        return new End<>(Kind.LATE, null, problem, null, false, true);
      case RESOURCE_EXHAUSTED:
        return refused(problem, RefusalCode.RATE_LIMITED, retryAfter);
      case UNAUTHENTICATED:
        return refused(problem, RefusalCode.BAD_CREDENTIAL, retryAfter);
      case PERMISSION_DENIED:
        return refused(problem, RefusalCode.NOT_PERMITTED, retryAfter);
      case INVALID_ARGUMENT:
      case NOT_FOUND:
      case ALREADY_EXISTS:
      case FAILED_PRECONDITION:
      case OUT_OF_RANGE:
        return refused(problem, RefusalCode.BAD_REQUEST, retryAfter);
      default:
        return new End<>(Kind.FAILED, null, problem, null, false, true);
    }
  }

  private static <A> End<A> refused(String problem, RefusalCode code, Duration retryAfter) {
    return new End<>(Kind.REFUSED, null, problem, new Refusal(code, retryAfter), false, true);
  }

  /** Text from elsewhere, cut, and without characters that control terminals or the direction of text. */
  public static String excerpt(String text) {
    StringBuilder clean = new StringBuilder();
    text.codePoints().limit(MAX_PROBLEM).forEach(c -> clean.appendCodePoint(isVisible(c) ? c : ' '));
    return clean.toString();
  }

  private static boolean isVisible(int codePoint) {
    switch (Character.getType(codePoint)) {
      case Character.CONTROL:
      case Character.FORMAT:
      case Character.SURROGATE:
      case Character.LINE_SEPARATOR:
      case Character.PARAGRAPH_SEPARATOR:
        return false;
      default:
        return true;
    }
  }
}
