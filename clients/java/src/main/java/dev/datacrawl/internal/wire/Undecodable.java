package dev.datacrawl.internal.wire;

/** Bytes that are not the message they should be. The text of the exception continues a sentence: "the answer …". */
public final class Undecodable extends Exception {
  private static final long serialVersionUID = 1L;

  public Undecodable(String problem) {
    super(problem, null, false, false);
  }
}
