package dev.datacrawl;

/** The answer to "may this agent do this?". Only {@link #ALLOW} means yes. */
public enum Decision {
  /** The agent may act, once. */
  ALLOW,
  /** The agent may not act. */
  DENY,
  /** The agent may not act yet: people decide. */
  NEEDS_REVIEW;

  /** As the other clients and the documentation write it: {@code allow}, {@code deny} or {@code needs_review}. */
  @Override
  public String toString() {
    return name().toLowerCase(java.util.Locale.ROOT);
  }
}
