package dev.datacrawl.internal.call;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;

/** When a call must end: at a time, or when its caller cancels. */
public final class Deadline implements AutoCloseable {
  /** Runs something after some milliseconds, on a thread that nobody blocks. */
  public interface Timers {
    Future<?> after(double milliseconds, Runnable task);
  }

  /** A process that looks at its deadline so much too late was blocked. */
  private static final double BUSY_MS = 100;

  private final double at;
  private final Timers timers;
  private final CompletableFuture<End<Void>> stopped = new CompletableFuture<>();
  private final Future<?> timer;

  /** @param at on the monotonic clock, in milliseconds */
  public Deadline(Timers timers, double at) {
    this.at = at;
    this.timers = timers;
    this.timer = timers.after(Math.max(0, at - now()), this::expire);
  }

  /** The monotonic clock, in milliseconds. */
  public static double now() {
    return System.nanoTime() / 1e6;
  }

  public double leftMs() {
    return at - now();
  }

  /** Late is late, by the clock and not by the timer. */
  public boolean isPassed() {
    return now() > at;
  }

  /** The end of a call whose deadline has passed. */
  public End<Void> passedNow() {
    return End.deadline(leftMs() < -BUSY_MS);
  }

  /** Completes with how the call ends before it has a result. */
  public CompletableFuture<End<Void>> stopped() {
    return stopped;
  }

  /** Ends the call as the deadline does. */
  public void expire() {
    stopped.complete(passedNow());
  }

  public void cancel() {
    stopped.complete(End.cancelled());
  }

  /** A deadline of its own for a part of the work: at most {@code milliseconds} from now, and no later than this one. To be closed. */
  public Deadline within(double milliseconds) {
    Deadline part = new Deadline(timers, Math.min(at, now() + milliseconds));
    stopped.thenAccept(part.stopped::complete);
    return part;
  }

  Timers timers() {
    return timers;
  }

  @Override
  public void close() {
    timer.cancel(false);
  }
}
