package dev.datacrawl;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** The methods that agents' code uses. {@link DataCrawl} has them, and so has the fake in {@code dev.datacrawl.testing}. */
public interface Authorizer {
  /**
   * Asks whether the agent may do this. Act only if the verdict is {@link Verdict#allowed}.
   *
   * <p>Never throws, and never outlives its deadline: every failure is a deny, with the reason in the verdict. The payload is read once; act on
   * the same values, or use {@link #protect}. A thread that is interrupted gets a deny at once and stays interrupted.
   *
   * <pre>{@code
   * Verdict verdict = dc.authorize(AuthorizeRequest.of("gmail.send_email", payload, "send-" + messageId));
   * if (verdict.allowed()) sendEmail(payload);
   * }</pre>
   */
  default Verdict authorize(AuthorizeRequest request) {
    return authorize(request, CallOptions.DEFAULT);
  }

  /** The same with a timeout or a traceparent of its own. */
  Verdict authorize(AuthorizeRequest request, CallOptions options);

  /**
   * The same without waiting. The future never completes exceptionally, unless you cancel it: that cancels the call. What you chain to it runs on
   * threads of the client's, which may be blocked.
   */
  default CompletableFuture<Verdict> authorizeAsync(AuthorizeRequest request) {
    return authorizeAsync(request, CallOptions.DEFAULT);
  }

  /** The same with a timeout or a traceparent of its own. */
  CompletableFuture<Verdict> authorizeAsync(AuthorizeRequest request, CallOptions options);

  /**
   * Waits for people to decide about a call that was answered {@code needs_review}. Act only if the verdict is {@link Verdict#allowed}.
   *
   * <p>Never throws, and never outlives its timeout. If nobody has decided in time the verdict is still {@code needs_review}; if the service
   * could not be asked it is a deny, under the same decision id. It neither uses nor changes the circuit.
   *
   * @param timeout 1 ms to 7 days
   */
  Verdict waitForReview(String decisionId, Duration timeout);

  /** The same without waiting, as {@link #authorizeAsync}. */
  CompletableFuture<Verdict> waitForReviewAsync(String decisionId, Duration timeout);

  /**
   * Starts an allowed decision, which is possible once. Run the tool only if the start is {@link Start#started}.
   *
   * <p>Never throws, and never outlives its deadline: whatever goes wrong is a start that was refused. Its attempts have one nonce, so a start
   * whose answer was lost is found again.
   *
   * @param verdict of this client's {@code authorize} or {@code waitForReview}
   */
  default Start begin(Verdict verdict) {
    return begin(verdict, CallOptions.DEFAULT);
  }

  /** The same with a timeout or a traceparent of its own. */
  Start begin(Verdict verdict, CallOptions options);

  /** The same without waiting, as {@link #authorizeAsync}. */
  CompletableFuture<Start> beginAsync(Verdict verdict, CallOptions options);

  /**
   * Records how an execution ended, once. The same report again is harmless; another one is not recorded. Never throws, and never outlives its
   * deadline. The circuit has no part in it.
   */
  default Reported report(Start execution, Outcome outcome) {
    return report(execution, ExecutionReport.of(outcome), CallOptions.DEFAULT);
  }

  /** The same with more than the outcome, and a timeout or a traceparent of its own. */
  Reported report(Start execution, ExecutionReport report, CallOptions options);

  /** The same without waiting, as {@link #authorizeAsync}. */
  CompletableFuture<Reported> reportAsync(Start execution, ExecutionReport report, CallOptions options);

  /** Takes a problem that nobody else hears of, as a sentence without secrets. */
  void warn(String message);

  /**
   * Wraps an action so that it runs only if it is allowed, and once: authorize, begin, run, report. It gets a copy of the payload with the
   * values that were allowed, and the verdict. What it throws is reported as failed, and thrown on.
   *
   * <pre>{@code
   * var send = dc.protect("gmail.send_email", (payload, verdict) -> sendEmail(payload));
   * send.call(Map.of("to", List.of("ann@example.com")));
   * }</pre>
   */
  default <R, E extends Exception> Protected<R, E> protect(String tool, Action<R, E> action) {
    return protect(tool, action, ProtectOptions.DEFAULT);
  }

  /** The same with options. */
  default <R, E extends Exception> Protected<R, E> protect(String tool, Action<R, E> action, ProtectOptions options) {
    return new Protected<>(this, tool, action, options);
  }

  /** The same for an action that returns a future. */
  default <R> ProtectedAsync<R> protectAsync(String tool, AsyncAction<R> action) {
    return protectAsync(tool, action, ProtectOptions.DEFAULT);
  }

  /** The same with options. */
  default <R> ProtectedAsync<R> protectAsync(String tool, AsyncAction<R> action, ProtectOptions options) {
    return new ProtectedAsync<>(this, tool, action, options);
  }
}
