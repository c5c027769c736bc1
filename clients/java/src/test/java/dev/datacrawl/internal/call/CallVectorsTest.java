package dev.datacrawl.internal.call;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import com.google.gson.JsonObject;
import dev.datacrawl.AuthorizeRequest;
import dev.datacrawl.Vectors;
import dev.datacrawl.internal.json.NotJson;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** clients/vectors: derived keys, requests, and what a call tells the circuit. */
class CallVectorsTest {
  static Stream<JsonObject> keys() {
    return Vectors.of("derived-key.json", "keys");
  }

  static Stream<JsonObject> texts() {
    return Vectors.of("request.json", "texts");
  }

  static Stream<JsonObject> counts() {
    return Vectors.of("circuit.json", "counts");
  }

  static Stream<JsonObject> statuses() {
    return Vectors.of("circuit.json", "statuses");
  }

  @ParameterizedTest
  @MethodSource("keys")
  @SuppressWarnings("unchecked")
  void theDerivedKeyIsThatOfAllLanguages(JsonObject vector) throws NotJson {
    AuthorizeRequest request =
        AuthorizeRequest.builder(vector.get("tool").getAsString())
            .payload((Map<String, Object>) Vectors.parse(vector.get("payload").getAsString()))
            .principal(Vectors.textOrNull(vector, "principal"))
            .build();
    Question question = Question.of(request, vector.get("agent").getAsString());
    assertEquals(vector.get("key").getAsString(), question.idempotencyKey);
  }

  @ParameterizedTest
  @MethodSource("texts")
  void aTextIsAcceptedOrRefused(JsonObject vector) {
    String text = vector.get("unit").getAsString().repeat(vector.get("times").getAsInt());
    String field = vector.get("field").getAsString();
    AuthorizeRequest.Builder request =
        AuthorizeRequest.builder(field.equals("tool") ? text : "a.tool").idempotencyKey("a key");
    if (field.equals("idempotency_key")) request.idempotencyKey(text);
    if (field.equals("principal")) request.principal(text);
    if (field.equals("session_id")) request.sessionId(text);
    boolean isAccepted = true;
    try {
      Question.of(request.build(), "demo");
    } catch (NotJson error) {
      isAccepted = false;
    }
    assertEquals(vector.get("accepted").getAsBoolean(), isAccepted, vector.toString());
  }

  @ParameterizedTest
  @MethodSource("counts")
  void aCallTellsTheCircuit(JsonObject vector) {
    End<?> end = endOf(vector.get("end").getAsString(), vector.get("busy").getAsBoolean());
    Object result =
        Asker.counts(
            end,
            vector.get("tookMs").getAsDouble(),
            vector.get("failedBefore").getAsBoolean(),
            vector.get("probe").getAsBoolean());
    assertEquals(vector.get("counts").getAsString(), result.toString().toLowerCase(Locale.ROOT), vector.toString());
  }

  private static End<?> endOf(String kind, boolean isBusy) {
    switch (kind) {
      case "answered":
        return End.answered("yes");
      case "malformed":
        return End.malformed("");
      case "unavailable":
        return End.unavailable("");
      case "failed":
        return End.failed("");
      case "late":
        return End.ofStatus(Status.DEADLINE_EXCEEDED, "", null);
      case "refused":
        return End.ofStatus(Status.PERMISSION_DENIED, "", null);
      case "unsent":
        return End.unsent("");
      case "deadline":
        return End.deadline(isBusy);
      default:
        assertEquals("cancelled", kind);
        return End.cancelled();
    }
  }

  @ParameterizedTest
  @MethodSource("statuses")
  void aStatusComesToAnEnd(JsonObject vector) {
    Status status = Status.values()[vector.get("number").getAsInt()];
    assertEquals(vector.get("status").getAsString(), status.name());
    End<?> end = End.ofStatus(status, "", null);
    assertEquals(vector.get("end").getAsString(), end.kind.name().toLowerCase(Locale.ROOT));
    if (vector.get("code").isJsonNull()) assertNull(end.refusal);
    else assertEquals(vector.get("code").getAsString(), end.refusal.code.name());
  }
}
