package dev.datacrawl;

import dev.datacrawl.internal.Protection;
import dev.datacrawl.internal.json.NotJson;
import java.util.Map;

/**
 * An action that runs only if it is allowed, and once. Made by {@link Authorizer#protect}.
 *
 * @param <R> what the action returns
 * @param <E> what the action may throw
 */
public final class Protected<R, E extends Exception> {
  private final Authorizer authorizer;
  private final String tool;
  private final Action<R, E> action;
  private final ProtectOptions options;

  Protected(Authorizer authorizer, String tool, Action<R, E> action, ProtectOptions options) {
    this.authorizer = authorizer;
    this.tool = tool;
    this.action = action;
    this.options = options;
  }

  /**
   * Asks, starts, runs and reports.
   *
   * @throws DeniedException if it was not allowed
   * @throws AlreadyStartedException if it was started before
   * @throws NotStartedException if it could not be started. In these three cases the action did not run.
   * @throws E what the action throws
   */
  public R call(Map<String, ?> payload) throws E {
    Asked asked = Asked.of(tool, payload, options);
    Verdict verdict = authorizer.authorize(asked.request, options.call);
    if (verdict.decision() == Decision.NEEDS_REVIEW && options.waitForReview != null)
      verdict = authorizer.waitForReview(verdict.decisionId(), options.waitForReview);
    if (asked.copy == null || !verdict.allowed()) throw new DeniedException(tool, verdict);
    if (!options.once) return action.run(asked.copy, verdict);
    Start start = authorizer.begin(verdict, options.call);
    // INVARIANT: only a start that is started, or the option for tools that are idempotent by themselves, runs.
    if (start.started()) return runOnce(start, asked.copy, verdict);
    if (start.state() != Start.State.ALREADY_STARTED) throw new NotStartedException(tool, verdict, start);
    if (options.runIfAlreadyStarted) return action.run(asked.copy, verdict);
    throw new AlreadyStartedException(tool, verdict, start);
  }

  private R runOnce(Start start, Map<String, Object> payload, Verdict verdict) throws E {
    long startedAt = System.nanoTime();
    R result;
    try {
      result = action.run(payload, verdict);
    } catch (Throwable error) {
      report(start, Protection.failed(error), startedAt);
      throw error;
    }
    report(start, ExecutionReport.of(Outcome.SUCCEEDED), startedAt);
    return result;
  }

  /** Changes nothing of what the action returns or throws. */
  private void report(Start start, ExecutionReport report, long startedAt) {
    // What was done is reported also if the thread was interrupted.
    boolean isInterrupted = Thread.interrupted();
    try {
      ExecutionReport timed = Protection.timed(report, startedAt);
      Protection.warnUnlessRecorded(authorizer, start, timed, authorizer.report(start, timed, options.call));
    } finally {
      if (isInterrupted) Thread.currentThread().interrupt();
    }
  }

  /** A request, and the copy of its payload that the action gets. */
  static final class Asked {
    final AuthorizeRequest request;
    /** Null if the payload cannot be copied; then it is asked about as it is, and refused with the reason. */
    final Map<String, Object> copy;

    private Asked(AuthorizeRequest request, Map<String, Object> copy) {
      this.request = request;
      this.copy = copy;
    }

    static Asked of(String tool, Map<String, ?> payload, ProtectOptions options) {
      Map<String, Object> copy = copyOf(payload);
      AuthorizeRequest request =
          AuthorizeRequest.builder(tool)
              .payload(copy == null ? payload : copy)
              .idempotencyKey(copy == null ? null : options.key.apply(copy))
              .principal(options.principal)
              .sessionId(options.sessionId)
              .build();
      return new Asked(request, copy);
    }

    private static Map<String, Object> copyOf(Map<String, ?> payload) {
      try {
        return payload == null ? Map.of() : dev.datacrawl.internal.json.Json.copyOf(payload);
      } catch (NotJson | RuntimeException | StackOverflowError error) {
        return null;
      }
    }
  }
}
