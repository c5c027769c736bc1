package dev.datacrawl.internal.circuit;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.datacrawl.CircuitSnapshot;
import dev.datacrawl.Vectors;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** clients/vectors/circuit.json: what the TypeScript client's circuit does. */
class CircuitVectorsTest {
  private double now;
  private double roll;

  static Stream<JsonObject> sequences() {
    return Vectors.of("circuit.json", "sequences");
  }

  @ParameterizedTest
  @MethodSource("sequences")
  void theCircuitGoesThroughTheSameStates(JsonObject sequence) {
    JsonObject config = sequence.getAsJsonObject("config");
    Timing timing =
        new Timing(
            config.get("failures").getAsInt(),
            config.get("probeAfterMs").getAsDouble(),
            config.get("rampMs").getAsDouble(),
            config.get("leaseMs").getAsDouble());
    Breaker breaker = new Breaker(timing, () -> now, () -> roll);
    List<Breaker.Permit> permits = new ArrayList<>();
    for (JsonElement element : sequence.getAsJsonArray("events")) {
      JsonObject event = element.getAsJsonObject();
      String where = sequence.get("name").getAsString() + ", event " + permits.size();
      now = event.get("at").getAsDouble();
      roll = event.get("roll").getAsDouble();
      if (event.get("do").getAsString().equals("permit")) {
        Breaker.Permit permit = breaker.permit();
        permits.add(permit);
        String kind = permit.denied ? "denied" : permit.probe ? "probe" : "call";
        assertEquals(event.get("permit").getAsString(), kind, where);
        if (permit.denied) assertEquals(event.get("retryInMs").getAsLong(), permit.retryInMs, where);
        if (permit.probe) assertEquals(config.get("leaseMs").getAsLong(), permit.leaseMs, where);
      } else {
        permits.add(null);
        String outcome = event.get("outcome").getAsString().toUpperCase(Locale.ROOT);
        breaker.report(permits.get(event.get("of").getAsInt()), Breaker.Result.valueOf(outcome), "it failed");
      }
      CircuitSnapshot snapshot = breaker.snapshot();
      assertEquals(event.get("state").getAsString(), snapshot.state().name().toLowerCase(Locale.ROOT), where);
      assertEquals(event.get("failures").getAsInt(), snapshot.consecutiveFailures(), where);
    }
  }
}
