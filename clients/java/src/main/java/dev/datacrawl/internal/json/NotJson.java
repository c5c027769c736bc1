package dev.datacrawl.internal.json;

/** Why a value is not JSON that the contract permits, as a sentence that begins with the path of the value. */
public final class NotJson extends Exception {
  private static final long serialVersionUID = 1L;

  public NotJson(String path, String problem) {
    super((path.length() <= 200 ? path : path.substring(0, 200) + "…") + " " + problem + ".", null, false, false);
  }
}
