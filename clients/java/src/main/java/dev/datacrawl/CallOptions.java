package dev.datacrawl;

import java.time.Duration;

/** What bounds and describes one call. Immutable. */
public final class CallOptions {
  /** The client's own settings. */
  public static final CallOptions DEFAULT = new CallOptions(null, null);

  private final Duration timeout;
  private final String traceparent;

  private CallOptions(Duration timeout, String traceparent) {
    this.timeout = timeout;
    this.traceparent = traceparent;
  }

  /** How long the call may take: 1 ms to 10 minutes. */
  public static CallOptions timeout(Duration timeout) {
    return DEFAULT.withTimeout(timeout);
  }

  /** The same with another timeout; null is the client's. */
  public CallOptions withTimeout(Duration timeout) {
    return new CallOptions(timeout, traceparent);
  }

  /** The same with a W3C {@code traceparent} to send; one that is not well-formed is not sent. Null: what the client's supplier says. */
  public CallOptions withTraceparent(String traceparent) {
    return new CallOptions(timeout, traceparent);
  }

  /** The timeout; null is the client's. */
  public Duration timeout() {
    return timeout;
  }

  /** The traceparent; null is what the client's supplier says. */
  public String traceparent() {
    return traceparent;
  }
}
