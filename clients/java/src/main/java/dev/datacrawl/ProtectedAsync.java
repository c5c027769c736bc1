package dev.datacrawl;

import dev.datacrawl.internal.Protection;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;

/**
 * An action without waiting that runs only if it is allowed, and once. Made by {@link Authorizer#protectAsync}.
 *
 * @param <R> what the action comes to
 */
public final class ProtectedAsync<R> {
  private final Authorizer authorizer;
  private final String tool;
  private final AsyncAction<R> action;
  private final ProtectOptions options;

  ProtectedAsync(Authorizer authorizer, String tool, AsyncAction<R> action, ProtectOptions options) {
    this.authorizer = authorizer;
    this.tool = tool;
    this.action = action;
    this.options = options;
  }

  /**
   * Asks, starts, runs and reports. The future completes with what the action comes to, or exceptionally as {@link Protected#call} throws. To
   * cancel it cancels what is under way; an action that has begun is then reported as unknown.
   */
  public CompletableFuture<R> call(Map<String, ?> payload) {
    Protected.Asked asked = Protected.Asked.of(tool, payload, options);
    Steps steps = new Steps();
    CompletableFuture<R> result = new CompletableFuture<>();
    result.whenComplete(
        (value, error) -> {
          if (result.isCancelled()) steps.cancel();
        });
    steps
        .then(authorizer.authorizeAsync(asked.request, options.call))
        .thenCompose(
            verdict ->
                verdict.decision() == Decision.NEEDS_REVIEW && options.waitForReview != null
                    ? steps.then(authorizer.waitForReviewAsync(verdict.decisionId(), options.waitForReview))
                    : CompletableFuture.completedFuture(verdict))
        .thenCompose(
            verdict -> {
              if (asked.copy == null || !verdict.allowed()) throw new DeniedException(tool, verdict);
              return options.once ? start(asked.copy, verdict, steps) : run(asked.copy, verdict, steps);
            })
        .whenComplete(
            (value, error) -> {
              if (error == null) result.complete(value);
              else result.completeExceptionally(error instanceof CompletionException ? error.getCause() : error);
            });
    return result;
  }

  private CompletionStage<R> start(Map<String, Object> payload, Verdict verdict, Steps steps) {
    return steps
        .then(authorizer.beginAsync(verdict, options.call))
        .thenCompose(
            start -> {
              if (start.started()) return runOnce(start, payload, verdict, steps);
              if (start.state() != Start.State.ALREADY_STARTED) throw new NotStartedException(tool, verdict, start);
              if (options.runIfAlreadyStarted) return run(payload, verdict, steps);
              throw new AlreadyStartedException(tool, verdict, start);
            });
  }

  private CompletionStage<R> runOnce(Start start, Map<String, Object> payload, Verdict verdict, Steps steps) {
    long startedAt = System.nanoTime();
    return run(payload, verdict, steps)
        .handle(
            (value, error) -> {
              ExecutionReport report = error == null ? ExecutionReport.of(Outcome.SUCCEEDED) : Protection.failed(error);
              ExecutionReport timed = Protection.timed(report, startedAt);
              return authorizer
                  .reportAsync(start, timed, options.call)
                  .thenCompose(
                      reported -> {
                        Protection.warnUnlessRecorded(authorizer, start, timed, reported);
                        return error == null
                            ? CompletableFuture.completedFuture(value)
                            : CompletableFuture.<R>failedFuture(error);
                      });
            })
        .thenCompose(Function.identity());
  }

  private CompletionStage<R> run(Map<String, Object> payload, Verdict verdict, Steps steps) {
    try {
      return steps.then(action.run(payload, verdict).toCompletableFuture());
    } catch (Throwable error) {
      return CompletableFuture.failedFuture(error);
    }
  }

  /** What is under way, for whoever cancels. */
  private static final class Steps {
    private final AtomicReference<CompletableFuture<?>> current = new AtomicReference<>();
    private volatile boolean isCancelled;

    <T> CompletableFuture<T> then(CompletableFuture<T> step) {
      current.set(step);
      if (isCancelled) step.cancel(true);
      return step;
    }

    void cancel() {
      isCancelled = true;
      CompletableFuture<?> step = current.get();
      if (step != null) step.cancel(true);
    }
  }
}
