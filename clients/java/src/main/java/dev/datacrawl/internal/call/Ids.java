package dev.datacrawl.internal.call;

import java.security.SecureRandom;
import java.time.Instant;
import java.util.UUID;
import java.util.regex.Pattern;

/** Ids and chance. */
public final class Ids {
  private static final Pattern UUID_TEXT = Pattern.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}");
  private static final SecureRandom RANDOM = new SecureRandom();

  private Ids() {}

  /** Whether {@code text} is a UUID of any version in lower case. */
  public static boolean isUuid(String text) {
    return UUID_TEXT.matcher(text).matches();
  }

  /** 16 random bytes. */
  public static byte[] nonce() {
    byte[] nonce = new byte[16];
    RANDOM.nextBytes(nonce);
    return nonce;
  }

  /** A UUID version 7 (RFC 9562). */
  public static String uuid(Instant at) {
    long high = at.toEpochMilli() << 16 | 0x7000 | RANDOM.nextInt(1 << 12);
    long low = RANDOM.nextLong() >>> 2 | 1L << 63;
    return new UUID(high, low).toString();
  }

  /** Uniform in [0, 1). */
  public static double fraction() {
    return RANDOM.nextDouble();
  }
}
