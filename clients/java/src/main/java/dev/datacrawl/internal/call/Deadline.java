package dev.datacrawl.internal.call;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.function.Consumer;

/** When a call must end: at a time, or when its caller cancels. Safe for threads. */
public final class Deadline implements AutoCloseable {
  /** Runs something after some milliseconds, on a thread that nobody blocks. */
  public interface Timers {
    Future<?> after(double milliseconds, Runnable task);
  }

  /** A process that looks at its deadline so much too late was blocked. */
  private static final double BUSY_MS = 100;

  private final double at;
  private final Timers timers;
  private final Future<?> timer;
  private final Set<Consumer<End<Void>>> listeners = new LinkedHashSet<>();
  private End<Void> stopped;
  private Runnable leaveParent = () -> {};

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

  /** Ends the call as the deadline does. */
  public void expire() {
    stop(passedNow());
  }

  public void cancel() {
    stop(End.cancelled());
  }

  private void stop(End<Void> end) {
    List<Consumer<End<Void>>> told;
    synchronized (this) {
      if (stopped != null) return;
      stopped = end;
      told = new ArrayList<>(listeners);
      listeners.clear();
    }
    told.forEach(listener -> listener.accept(end));
  }

  /** Calls {@code listener} with how the call ends before it has a result; at once if it has. Returns how to stop that. */
  public Runnable onStop(Consumer<End<Void>> listener) {
    End<Void> already;
    synchronized (this) {
      already = stopped;
      if (already == null) listeners.add(listener);
    }
    if (already != null) listener.accept(already);
    return () -> {
      synchronized (this) {
        listeners.remove(listener);
      }
    };
  }

  /** A deadline of its own for a part of the work: at most {@code milliseconds} from now, and no later than this one. To be closed. */
  public Deadline within(double milliseconds) {
    Deadline part = new Deadline(timers, Math.min(at, now() + milliseconds));
    part.leaveParent = onStop(part::stop);
    return part;
  }

  Timers timers() {
    return timers;
  }

  @Override
  public void close() {
    timer.cancel(false);
    leaveParent.run();
  }
}
