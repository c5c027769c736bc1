package dev.datacrawl;

/** An action was not allowed, and did not run. */
public final class DeniedException extends NotRunException {
  private static final long serialVersionUID = 1L;

  DeniedException(String tool, Verdict verdict) {
    super(tool + " was not allowed (" + verdict.reason() + "): " + verdict.message(), tool, verdict);
  }
}
