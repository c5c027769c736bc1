package dev.datacrawl;

/** Who decided. */
public enum Source {
  /** The service, from policy. The decision was recorded before it was answered. */
  SERVICE,
  /** A guard alone: this client, or a sidecar. */
  GUARD;

  /** {@code service} or {@code guard}. */
  @Override
  public String toString() {
    return name().toLowerCase(java.util.Locale.ROOT);
  }
}
