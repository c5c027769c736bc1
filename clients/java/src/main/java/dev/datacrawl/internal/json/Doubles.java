package dev.datacrawl.internal.json;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.math.RoundingMode;

/** Writes doubles as ECMAScript does (RFC 8785, 3.2.2.3): the fewest digits that give the same double back. */
final class Doubles {
  private static final double MAX_SAFE_INTEGER = 9_007_199_254_740_991d;

  private static final int JAVA = Runtime.version().feature();

  private Doubles() {}

  /** Whether this double stands for no other integer. */
  static boolean isExactInteger(double value) {
    return Math.abs(value) <= MAX_SAFE_INTEGER;
  }

  static boolean isInteger(double value) {
    return value == Math.rint(value);
  }

  /** @param value finite */
  static String write(double value) {
    // Minus zero as zero.
    if (value == 0) return "0";
    if (isInteger(value) && isExactInteger(value)) return Long.toString((long) value);
    if (value < 0) return "-" + write(-value);
    BigDecimal shortest = shortest(value);
    String digits = shortest.unscaledValue().toString();
    // The value is 0.digits × 10^point.
    int point = digits.length() - shortest.scale();
    if (point > 21 || point < -5) return exponential(digits, point - 1);
    if (point >= digits.length()) return digits + "0".repeat(point - digits.length());
    if (point > 0) return digits.substring(0, point) + "." + digits.substring(point);
    return "0." + "0".repeat(-point) + digits;
  }

  private static String exponential(String digits, int exponent) {
    String fraction = digits.length() == 1 ? "" : "." + digits.substring(1);
    return digits.charAt(0) + fraction + "e" + (exponent < 0 ? "-" : "+") + Math.abs(exponent);
  }

  /** Before Java 19, Double.toString gives too many digits for some doubles, and not always the nearest of as many. */
  private static BigDecimal shortest(double value) {
    BigDecimal found = new BigDecimal(Double.toString(value)).stripTrailingZeros();
    if (JAVA >= 19) return found;
    for (BigDecimal shorter = shorter(found, value); shorter != null; shorter = shorter(found, value)) found = shorter;
    return nearest(found, value).stripTrailingZeros();
  }

  /** A number with fewer digits that gives {@code value} back, or null. If there is any, it is one of the two beside {@code found}. */
  private static BigDecimal shorter(BigDecimal found, double value) {
    if (found.precision() == 1) return null;
    BigDecimal below = found.round(new MathContext(found.precision() - 1, RoundingMode.DOWN));
    if (below.doubleValue() == value) return below.stripTrailingZeros();
    BigDecimal above = neighbour(below, 1);
    return above.doubleValue() == value ? above.stripTrailingZeros() : null;
  }

  /** Of the numbers with as many digits that give {@code value} back, the one that is nearest to it. */
  private static BigDecimal nearest(BigDecimal found, double value) {
    BigDecimal best = found;
    BigDecimal exact = null;
    for (int step = -1; step <= 1; step += 2) {
      for (BigDecimal next = neighbour(found, step); next.doubleValue() == value; next = neighbour(next, step)) {
        if (exact == null) exact = new BigDecimal(value);
        int nearer = next.subtract(exact).abs().compareTo(best.subtract(exact).abs());
        if (nearer < 0 || nearer == 0 && best.unscaledValue().testBit(0)) best = next;
      }
    }
    return best;
  }

  private static BigDecimal neighbour(BigDecimal number, int step) {
    return new BigDecimal(number.unscaledValue().add(BigInteger.valueOf(step)), number.scale());
  }
}
