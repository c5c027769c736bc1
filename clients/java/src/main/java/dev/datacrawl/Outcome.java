package dev.datacrawl;

/** How an execution ended. */
public enum Outcome {
  /** The tool did what was asked. */
  SUCCEEDED,
  /** The tool failed, and the action did not happen. */
  FAILED,
  /** Nobody knows whether the action happened. */
  UNKNOWN;

  /** {@code succeeded}, {@code failed} or {@code unknown}. */
  @Override
  public String toString() {
    return name().toLowerCase(java.util.Locale.ROOT);
  }
}
