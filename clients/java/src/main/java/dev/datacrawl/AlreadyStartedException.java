package dev.datacrawl;

/** An action was allowed and started before: this call did not run it. */
public final class AlreadyStartedException extends NotRunException {
  private static final long serialVersionUID = 1L;

  private final transient Start execution;

  AlreadyStartedException(String tool, Verdict verdict, Start execution) {
    super(describe(tool, verdict, execution), tool, verdict);
    this.execution = execution;
  }

  private static String describe(String tool, Verdict verdict, Start execution) {
    String when = execution.startedAt().map(at -> "at " + at).orElse("before");
    String end = execution.outcome().map(outcome -> "its outcome was " + outcome).orElse("its outcome is not known");
    return tool + " was started " + when + " under the key " + verdict.idempotencyKey() + ", and " + end;
  }

  /** When it was started, by which credential, and how it ended, as far as is known. */
  public Start execution() {
    return execution;
  }
}
