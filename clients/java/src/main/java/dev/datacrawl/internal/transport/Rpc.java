package dev.datacrawl.internal.transport;

/** One call of a method of AuthorizeService. */
public final class Rpc {
  public final String method;
  public final byte[] message;
  /** The method answers with a stream of messages; the reply is then the whole of it. */
  public final boolean streams;
  /** The W3C {@code traceparent} to send, or null. */
  public final String traceparent;

  public Rpc(String method, byte[] message, boolean streams, String traceparent) {
    this.method = method;
    this.message = message;
    this.streams = streams;
    this.traceparent = traceparent;
  }
}
