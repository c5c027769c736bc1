package dev.datacrawl;

/** An action of {@link Authorizer#protect} did not run. */
public abstract class NotRunException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final String tool;
  private final transient Verdict verdict;

  NotRunException(String message, String tool, Verdict verdict) {
    super(message);
    this.tool = tool;
    this.verdict = verdict;
  }

  /** The tool whose action did not run. */
  public String tool() {
    return tool;
  }

  /** What was decided about it. */
  public Verdict verdict() {
    return verdict;
  }
}
