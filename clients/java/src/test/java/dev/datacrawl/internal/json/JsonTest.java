package dev.datacrawl.internal.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class JsonTest {
  static Stream<Arguments> notJson() {
    return Stream.of(
        Arguments.of(Instant.EPOCH, "payload.value must be a JSON value, is a java.time.Instant."),
        Arguments.of(Optional.of(1), "payload.value must be a JSON value, is a java.util.Optional."),
        Arguments.of('c', "payload.value must be a JSON value, is a java.lang.Character."),
        Arguments.of(new int[] {1}, "payload.value must be a JSON value, is a [I."),
        Arguments.of(new AtomicInteger(1), "payload.value must be a JSON value, is a java.util.concurrent.atomic.AtomicInteger."),
        Arguments.of(Double.NaN, "payload.value must be a finite number, is NaN."),
        Arguments.of(Float.NEGATIVE_INFINITY, "payload.value must be a finite number, is -Infinity."),
        Arguments.of(new BigDecimal("0.1000000000000000055"), "payload.value has more digits than a double holds; send it as a string."),
        Arguments.of(Map.of(1, 2), "payload.value must have strings as names, has a java.lang.Integer."),
        Arguments.of(Collections.singletonMap(null, 1), "payload.value must have strings as names, has a null."),
        Arguments.of(List.of("a", "\ud800"), "payload.value[1] must not contain a lone surrogate."),
        Arguments.of(Map.of("\udc00", 1), "payload.value must not contain a lone surrogate."),
        Arguments.of("a\0", "payload.value must not contain NUL."));
  }

  @ParameterizedTest
  @MethodSource("notJson")
  void whatIsNotJsonIsRefusedByItsPath(Object value, String problem) {
    assertEquals(problem, assertThrows(NotJson.class, () -> Json.copyOf(Map.of("value", value))).getMessage());
  }

  @ParameterizedTest
  @MethodSource("inexact")
  void anIntegerThatSharesItsDoubleIsRefused(Number value) {
    String problem = assertThrows(NotJson.class, () -> Json.copyOf(Map.of("value", value))).getMessage();
    assertTrue(problem.startsWith("payload.value is beyond the integers that a double holds exactly"), problem);
  }

  static Stream<Number> inexact() {
    return Stream.of(
        1L << 53, -(1L << 53), Long.MAX_VALUE, 1e300, BigInteger.TWO.pow(2000), new BigDecimal("1e400"), BigInteger.TWO.pow(53));
  }

  @Test
  void aCycleIsRefused() {
    List<Object> list = new ArrayList<>();
    list.add(list);
    assertThrows(NotJson.class, () -> Json.copyOf(Map.of("value", list)));
  }

  @Test
  void oneObjectManyTimesIsRefusedBeforeItIsWrittenOut() {
    Object value = "x";
    for (int level = 0; level < 30; level++) value = List.of(value, value);
    Object bomb = value;
    assertThrows(NotJson.class, () -> Json.copyOf(Map.of("value", bomb)));
  }

  @Test
  void aNameThatOccursTwiceIsRefused() {
    Map<String, Object> map = new IdentityHashMap<>();
    map.put(new String("a"), 1);
    map.put(new String("a"), 2);
    assertThrows(NotJson.class, () -> Json.copyOf(map));
  }

  @Test
  void aNumberOfAnotherClassCouldChangeAndIsRefused() {
    BigDecimal liar =
        new BigDecimal("1") {
          private static final long serialVersionUID = 1L;

          @Override
          public double doubleValue() {
            return 2;
          }
        };
    assertThrows(NotJson.class, () -> Json.copyOf(Map.of("value", liar)));
  }

  @Test
  void aCopyDoesNotChangeWithItsOriginalAndCannotBeChanged() throws NotJson {
    Map<String, Object> inner = new HashMap<>(Map.of("to", "ann"));
    List<Object> list = new ArrayList<>(List.of(inner));
    Map<String, Object> copy = Json.copyOf(Map.of("list", list));
    inner.put("to", "eve");
    list.add("more");
    assertEquals("{\"list\":[{\"to\":\"ann\"}]}", Json.canonical(copy));
    assertThrows(UnsupportedOperationException.class, () -> copy.put("x", 1));
    assertThrows(UnsupportedOperationException.class, () -> ((List<?>) copy.get("list")).clear());
  }

  @Test
  void numbersOfAllClassesHaveOneText() throws NotJson {
    for (Number one : new Number[] {1, 1L, (short) 1, (byte) 1, 1f, 1d, new BigDecimal("1.00"), BigInteger.ONE})
      assertEquals("{\"n\":1}", Json.canonical(Json.copyOf(Map.of("n", one))));
    assertEquals("{\"n\":0.1}", Json.canonical(Json.copyOf(Map.of("n", new BigDecimal("0.10")))));
  }

  /** Java's own text of a double is right from Java 19 on; before, it is sometimes longer. */
  @Test
  void aDoubleIsWrittenWithTheFewestDigitsThatGiveItBack() {
    Random random = new Random(20261128);
    for (int round = 0; round < 5_000; round++) {
      double value = Double.longBitsToDouble(random.nextLong());
      if (Double.isNaN(value) || Double.isInfinite(value)) continue;
      String text = Doubles.write(value);
      assertEquals(value, Double.parseDouble(text));
      BigDecimal decimal = new BigDecimal(text).stripTrailingZeros();
      assertTrue(decimal.precision() <= new BigDecimal(Double.toString(value)).stripTrailingZeros().precision(), text);
      BigDecimal exact = new BigDecimal(value);
      for (int step : new int[] {-1, 1}) {
        // Neither neighbour of as many digits is nearer and gives the same double.
        BigDecimal neighbour =
            new BigDecimal(decimal.unscaledValue().add(BigInteger.valueOf(step)), decimal.scale());
        boolean isNearer = neighbour.subtract(exact).abs().compareTo(decimal.subtract(exact).abs()) < 0;
        assertTrue(!isNearer || neighbour.doubleValue() != value, text);
      }
    }
  }

  @Test
  void setsHaveNoOrderAndAreRefused() {
    assertThrows(NotJson.class, () -> Json.copyOf(Map.of("value", Set.of(1))));
  }
}
