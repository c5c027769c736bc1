package dev.datacrawl.internal;

import dev.datacrawl.Authorizer;
import dev.datacrawl.ExecutionReport;
import dev.datacrawl.Outcome;
import dev.datacrawl.Reported;
import dev.datacrawl.Start;
import java.io.InterruptedIOException;
import java.nio.channels.ClosedByInterruptException;
import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeoutException;

/** What is reported of protected actions. */
public final class Protection {
  private static final int MAX_CODE = 128;

  private Protection() {}

  /** The report of an action that threw. Its class, never its message, which may hold what must not be recorded. */
  public static ExecutionReport failed(Throwable thrown) {
    Throwable error = thrown instanceof CompletionException && thrown.getCause() != null ? thrown.getCause() : thrown;
    String name = error.getClass().getName();
    String code = name.substring(0, Math.min(MAX_CODE, name.length()));
    ExecutionReport report = ExecutionReport.of(isUnclear(error) ? Outcome.UNKNOWN : Outcome.FAILED);
    return code.chars().allMatch(c -> c > 0x20 && c < 0x7f) ? report.withErrorCode(code) : report;
  }

  /** Whether the action was broken off, so that nobody knows how far it came. */
  private static boolean isUnclear(Throwable error) {
    return error instanceof InterruptedException
        || error instanceof InterruptedIOException
        || error instanceof ClosedByInterruptException
        || error instanceof CancellationException
        || error instanceof TimeoutException
        || error instanceof java.net.http.HttpTimeoutException
        || error instanceof Error;
  }

  /** The same with the time since {@code startedAt}, by System.nanoTime. */
  public static ExecutionReport timed(ExecutionReport report, long startedAt) {
    return report.withDuration(Duration.ofNanos(Math.max(0, System.nanoTime() - startedAt)));
  }

  /** An outcome that is not on record becomes an unresolved execution: somebody should know. */
  public static void warnUnlessRecorded(Authorizer authorizer, Start start, ExecutionReport report, Reported reported) {
    if (reported.recorded()) return;
    String reason = reported.reason().map(Enum::name).orElse("");
    authorizer.warn(
        "the outcome " + report.outcome() + " of the execution of decision " + start.decisionId()
            + " was not recorded (" + reason + "): " + reported.message());
  }
}
