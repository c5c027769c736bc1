package dev.datacrawl;

/** An action was allowed, but could not be started: it did not run. */
public final class NotStartedException extends NotRunException {
  private static final long serialVersionUID = 1L;

  private final transient Start start;

  NotStartedException(String tool, Verdict verdict, Start start) {
    super(tool + " was not started (" + start.reason() + "): " + start.message(), tool, verdict);
    this.start = start;
  }

  /** Why it was not started. */
  public Start start() {
    return start;
  }
}
