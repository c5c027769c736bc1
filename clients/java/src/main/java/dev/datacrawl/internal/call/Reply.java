package dev.datacrawl.internal.call;

import java.util.List;

/** A reply without its envelope: the bytes of its messages, at least one, or why there is no message. */
public final class Reply {
  /** Null if {@link #failure} says why. */
  public final List<byte[]> unverifiedMessages;
  /** Null if there are messages. */
  public final End<Void> failure;

  private Reply(List<byte[]> unverifiedMessages, End<Void> failure) {
    this.unverifiedMessages = unverifiedMessages;
    this.failure = failure;
  }

  public static Reply of(List<byte[]> unverifiedMessages) {
    return new Reply(unverifiedMessages, null);
  }

  public static Reply of(End<Void> failure) {
    return new Reply(null, failure);
  }
}
