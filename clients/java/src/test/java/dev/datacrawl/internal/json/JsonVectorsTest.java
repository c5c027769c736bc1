package dev.datacrawl.internal.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import com.google.gson.JsonObject;
import dev.datacrawl.Vectors;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** clients/vectors/canonical-json.json. */
class JsonVectorsTest {
  private static final String FILE = "canonical-json.json";

  static Stream<JsonObject> accepted() {
    return Stream.concat(Vectors.of(FILE, "values"), Vectors.of(FILE, "fractions"));
  }

  static Stream<JsonObject> inexactIntegers() {
    return Vectors.of(FILE, "inexactIntegers");
  }

  static Stream<JsonObject> refused() {
    return Vectors.of(FILE, "refused");
  }

  static Stream<JsonObject> depths() {
    return Vectors.of(FILE, "depths");
  }

  static Stream<JsonObject> sizes() {
    return Vectors.of(FILE, "sizes");
  }

  @ParameterizedTest
  @MethodSource("accepted")
  void aValueHasItsCanonicalText(JsonObject vector) throws NotJson {
    Map<String, Object> copy = Json.copyOf(java.util.Collections.singletonMap("value", parse(vector)));
    assertEquals("{\"value\":" + vector.get("canonical").getAsString() + "}", Json.canonical(copy));
  }

  @ParameterizedTest
  @MethodSource("inexactIntegers")
  void anIntegerThatADoubleDoesNotHoldExactlyIsRefused(JsonObject vector) {
    double value = Double.parseDouble(vector.get("json").getAsString());
    assertEquals(vector.get("canonical").getAsString(), Doubles.write(value));
    assertNotNull(problemOf(Map.of("value", value)));
  }

  @ParameterizedTest
  @MethodSource("refused")
  void whatIsNoPayloadIsRefused(JsonObject vector) {
    Object value = parse(vector);
    // What is not an object does not get past Java's compiler.
    if (vector.get("why").getAsString().equals("not_an_object")) assertEquals(false, value instanceof Map);
    else assertNotNull(problemOf((Map<?, ?>) value));
  }

  @ParameterizedTest
  @MethodSource("depths")
  void nestingIsBounded(JsonObject vector) {
    boolean isObject = vector.get("of").getAsString().equals("objects");
    int depth = vector.get("depth").getAsInt();
    Object value = isObject ? Map.of() : List.of();
    for (int level = 2; level < depth; level++) value = isObject ? Map.of("a", value) : List.of(value);
    String problem = problemOf(depth == 1 ? Map.of() : Map.of("a", value));
    assertEquals(vector.get("accepted").getAsBoolean(), problem == null, problem);
  }

  @ParameterizedTest
  @MethodSource("sizes")
  void sizeIsBounded(JsonObject vector) {
    String text = vector.get("unit").getAsString().repeat(vector.get("times").getAsInt());
    String problem = problemOf(Map.of("a", text));
    assertEquals(vector.get("accepted").getAsBoolean(), problem == null, problem);
  }

  private static Object parse(JsonObject vector) {
    return Vectors.parse(vector.get("json").getAsString());
  }

  private static String problemOf(Map<?, ?> payload) {
    try {
      assertNotNull(Json.canonical(Json.copyOf(payload)));
      return null;
    } catch (NotJson error) {
      return error.getMessage();
    }
  }
}
