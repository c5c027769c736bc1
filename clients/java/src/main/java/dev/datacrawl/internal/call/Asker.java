package dev.datacrawl.internal.call;

import dev.datacrawl.internal.circuit.Breaker;
import dev.datacrawl.internal.transport.CredentialSource;
import dev.datacrawl.internal.transport.Credentials;
import dev.datacrawl.internal.transport.GrpcTransport;
import dev.datacrawl.internal.transport.Rpc;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Function;
import java.util.function.Supplier;

/** Asks the service: attempts, retries, and what the circuit is told. No future that it returns completes exceptionally. */
public final class Asker {
  private static final int MAX_ATTEMPTS = 3;
  private static final double FIRST_PAUSE_MS = 100;
  /** A deadline counts against the service only if it left as much time, in milliseconds. */
  private static final double FAIR_MS = 1000;

  private final CredentialSource credentials;
  private final ExecutorService workers;
  private final boolean sidecar;

  /** @param sidecar whether a sidecar is asked */
  public Asker(CredentialSource credentials, ExecutorService workers, boolean sidecar) {
    this.credentials = credentials;
    this.workers = workers;
    this.sidecar = sidecar;
  }

  /** Calls once, and reads the answer with {@code read}. Ends with the deadline. */
  public <A> CompletableFuture<End<A>> attempt(
      GrpcTransport transport, Rpc rpc, long maxTimeoutMs, Deadline deadline, Function<Reply, End<A>> read) {
    Credentials fixed = credentials.fixed();
    if (fixed != null) return send(transport, rpc, maxTimeoutMs, fixed, deadline, read);
    return readCredentials(deadline)
        .thenCompose(
            end ->
                end.answer == null
                    ? CompletableFuture.completedFuture(end.without())
                    : send(transport, rpc, maxTimeoutMs, end.answer, deadline, read));
  }

  private <A> CompletableFuture<End<A>> send(
      GrpcTransport transport,
      Rpc rpc,
      long maxTimeoutMs,
      Credentials sent,
      Deadline deadline,
      Function<Reply, End<A>> read) {
    long timeoutMs = Math.max(1, Math.min(maxTimeoutMs, (long) deadline.leftMs()));
    GrpcTransport.Call call = transport.send(rpc, sent, timeoutMs);
    CompletableFuture<End<A>> ended = new CompletableFuture<>();
    // It came in time or it did not come: the caller may have given up already.
    call.reply.thenAccept(
        reply -> ended.complete(deadline.isPassed() ? deadline.passedNow().without() : read.apply(reply)));
    Runnable leave =
        deadline.onStop(
            stop -> {
              if (ended.complete(stop.without())) call.abandon(stop.kind == End.Kind.DEADLINE);
            });
    return ended.whenComplete((end, error) -> leave.run());
  }

  /** Within half of the call's time: an agent that gets no token in time must not look like a service that does not answer. */
  private CompletableFuture<End<Credentials>> readCredentials(Deadline deadline) {
    Deadline half = deadline.within(deadline.leftMs() / 2);
    CompletableFuture<End<Credentials>> ended = new CompletableFuture<>();
    Future<?> reading;
    try {
      reading =
          workers.submit(
              () -> {
                try {
                  ended.complete(End.answered(credentials.read()));
                } catch (CredentialSource.CannotAsk error) {
                  ended.complete(End.unsent(error.getMessage()));
                } catch (Throwable error) {
                  ended.complete(End.unsent("the credential cannot be read (" + error.getClass().getName() + ")"));
                }
              });
    } catch (RejectedExecutionException error) {
      half.close();
      return CompletableFuture.completedFuture(End.cancelled());
    }
    half.onStop(
        stop -> {
          boolean isCancelled = stop.kind == End.Kind.CANCELLED;
          if (ended.complete(isCancelled ? End.cancelled() : End.unsent("the token did not come in time")))
            reading.cancel(true);
        });
    return ended.whenComplete((end, error) -> half.close());
  }

  /** How a call ended, whatever its attempts. */
  private static final class Call<A> {
    final End<A> end;
    final double tookMs;
    /** An attempt before the last one failed. */
    final boolean failedBefore;

    Call(End<A> end, double tookMs, boolean failedBefore) {
      this.end = end;
      this.tookMs = tookMs;
      this.failedBefore = failedBefore;
    }
  }

  /** Tries until an attempt ends otherwise than unavailable, at most three times. Ends with the deadline if its attempts do. */
  public <A> CompletableFuture<End<A>> withRetries(Deadline deadline, Supplier<CompletableFuture<End<A>>> attempt) {
    return tries(deadline, attempt, 1, Deadline.now()).thenApply(call -> call.end);
  }

  private <A> CompletableFuture<Call<A>> tries(
      Deadline deadline, Supplier<CompletableFuture<End<A>>> attempt, int number, double startedAt) {
    return attempt
        .get()
        .thenCompose(
            end -> {
              Call<A> last = new Call<>(end, Deadline.now() - startedAt, number > 1);
              // A sidecar that answers UNAVAILABLE has tried three times itself.
              boolean isTried = sidecar && end.isStatus;
              if (end.kind != End.Kind.UNAVAILABLE || isTried || number == MAX_ATTEMPTS)
                return CompletableFuture.completedFuture(last);
              // Grows threefold, and half of it is chance: processes that failed together do not come back together.
              double pauseMs = FIRST_PAUSE_MS * Math.pow(3, number - 1) * (0.5 + Ids.fraction() / 2);
              if (pauseMs >= deadline.leftMs()) return CompletableFuture.completedFuture(last);
              return pause(deadline, pauseMs)
                  .thenCompose(
                      stop ->
                          stop == null || stop.kind == End.Kind.DEADLINE
                              ? tries(deadline, attempt, number + 1, startedAt)
                              : CompletableFuture.completedFuture(
                                  new Call<A>(stop.without(), Deadline.now() - startedAt, true)));
            });
  }

  /** Completes with null after the pause, or with how the call ends before. */
  static CompletableFuture<End<Void>> pause(Deadline deadline, double milliseconds) {
    CompletableFuture<End<Void>> paused = new CompletableFuture<>();
    Future<?> timer = deadline.timers().after(milliseconds, () -> paused.complete(null));
    Runnable leave = deadline.onStop(paused::complete);
    return paused.whenComplete(
        (stop, error) -> {
          timer.cancel(false);
          leave.run();
        });
  }

  /**
   * Calls the service with leave of the circuit, and tells the circuit how it went: once, whatever the attempts.
   *
   * @param attempt given the call's deadline, which for a probe ends with its lease
   */
  public <A> CompletableFuture<End<A>> throughCircuit(
      Breaker breaker,
      Breaker.Permit permit,
      Deadline deadline,
      Function<Deadline, CompletableFuture<End<A>>> attempt) {
    Deadline until = permit.probe ? deadline.within(permit.leaseMs) : deadline.within(Double.MAX_VALUE);
    CompletableFuture<Call<A>> called;
    try {
      called = tries(until, () -> attempt.apply(until), 1, Deadline.now());
    } catch (Throwable error) {
      called = CompletableFuture.failedFuture(error);
    }
    return called
        .whenComplete(
            (call, error) -> {
              until.close();
              Breaker.Result result = call == null ? Breaker.Result.IGNORED : counts(call.end, call.tookMs, call.failedBefore, permit.probe);
              breaker.report(permit, result, call == null ? "" : problemOf(call));
            })
        .thenApply(call -> call.end);
  }

  /** What a call tells the circuit. */
  static Breaker.Result counts(End<?> end, double tookMs, boolean failedBefore, boolean isProbe) {
    switch (end.kind) {
      case ANSWERED:
        return Breaker.Result.SUCCESS;
      case MALFORMED:
      case UNAVAILABLE:
      case FAILED:
        return Breaker.Result.FAILURE;
      case LATE:
        return tookMs >= FAIR_MS ? Breaker.Result.FAILURE : Breaker.Result.IGNORED;
      case DEADLINE:
        if (failedBefore) return Breaker.Result.FAILURE;
        return end.busy || tookMs < FAIR_MS ? Breaker.Result.IGNORED : Breaker.Result.FAILURE;
      case REFUSED:
        // A service that refuses is there, which is all that a probe asks.
        return isProbe ? Breaker.Result.SUCCESS : Breaker.Result.IGNORED;
      default:
        return Breaker.Result.IGNORED;
    }
  }

  private static String problemOf(Call<?> call) {
    if (call.end.kind != End.Kind.DEADLINE) return call.end.problem;
    return call.failedBefore ? "it failed, and then the deadline passed" : "no answer before the deadline";
  }
}
