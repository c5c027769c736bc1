package dev.datacrawl.internal.json;

/** Text as it will be on the wire. */
public final class Utf8 {
  private Utf8() {}

  /** Whether every surrogate has its partner. Java's encoder would write a question mark for one that has none. */
  public static boolean isWellFormed(CharSequence text) {
    for (int index = 0; index < text.length(); index++) {
      char c = text.charAt(index);
      if (!Character.isSurrogate(c)) continue;
      boolean isPair =
          Character.isHighSurrogate(c)
              && index + 1 < text.length()
              && Character.isLowSurrogate(text.charAt(index + 1));
      if (!isPair) return false;
      index++;
    }
    return true;
  }

  /** How many bytes a well-formed text has in UTF-8. */
  public static int length(CharSequence text) {
    int bytes = 0;
    for (int index = 0; index < text.length(); index++) {
      char c = text.charAt(index);
      if (c < 0x80) bytes += 1;
      // Each half of a pair is two of the four bytes.
      else if (c < 0x800 || Character.isSurrogate(c)) bytes += 2;
      else bytes += 3;
    }
    return bytes;
  }
}
