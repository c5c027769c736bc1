package dev.datacrawl.conformance;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** The adapter's side of the conformance kit (docs/conformance.md): questions in, answers out, as lines of JSON. */
final class Lines {
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  interface Client {
    /** A client that throws has not allowed. */
    Answer ask(JsonObject question) throws Exception;
  }

  static final class Answer {
    final String decision;
    /** Null for a client that gives no reasons. */
    final String reason;
    final String message;

    Answer(String decision, String reason, String message) {
      this.decision = decision;
      this.reason = reason;
      this.message = message;
    }
  }

  private Lines() {}

  /** Loads the classes, which takes a virtual machine longer than a case may take: nobody listens at port 1. */
  static void warmUp(Client client) {
    JsonObject question =
        JsonParser.parseString(
                "{\"method\":\"Authorize\",\"tool\":\"warm.up\",\"payload\":{\"case\":\"\"},\"idempotencyKey\":\"key\","
                    + "\"url\":\"http://127.0.0.1:1\",\"agentId\":\"warm\",\"deadlineMs\":5000,\"caFile\":\"/dev/null\"}")
            .getAsJsonObject();
    question.addProperty("apiKey", "dc_agent_warm_000000000000_" + "0".repeat(64));
    try {
      client.ask(question);
    } catch (Throwable error) {
      // There is nothing to be had.
    }
  }

  static void answer(Client client) throws IOException {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    OUT.println("{\"ready\":true}");
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject question = JsonParser.parseString(line).getAsJsonObject();
      long startedAt = System.nanoTime();
      Answer answer;
      try {
        answer = client.ask(question);
      } catch (Throwable error) {
        answer = new Answer("deny", null, error.toString());
      }
      JsonObject said = new JsonObject();
      said.addProperty("case", question.get("case").getAsString());
      said.addProperty("decision", answer.decision);
      if (answer.reason != null) said.addProperty("reason", answer.reason);
      said.addProperty("message", answer.message);
      said.addProperty("elapsedMs", (System.nanoTime() - startedAt) / 1e6);
      OUT.println(said);
    }
  }
}
