package dev.datacrawl.conformance;

import com.google.gson.JsonObject;
import dev.datacrawl.AuthorizeRequest;
import dev.datacrawl.DataCrawl;
import dev.datacrawl.Reason;
import dev.datacrawl.Start;
import dev.datacrawl.Verdict;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;

/** This library as a client under test. */
public final class ClientAdapter {
  private static final Map<String, DataCrawl> CLIENTS = new HashMap<>();

  private ClientAdapter() {}

  public static void main(String[] arguments) throws IOException {
    Lines.warmUp(ClientAdapter::ask);
    Lines.answer(ClientAdapter::ask);
    CLIENTS.values().forEach(DataCrawl::close);
  }

  private static DataCrawl clientFor(JsonObject question) {
    boolean isThroughSidecar = question.has("sidecar");
    String at = question.get(isThroughSidecar ? "sidecar" : "url").getAsString();
    return CLIENTS.computeIfAbsent(
        at,
        address -> {
          DataCrawl.Builder builder =
              DataCrawl.builder()
                  .timeout(Duration.ofMillis(question.get("deadlineMs").getAsLong()))
                  // The cases test how answers are read; an open circuit would read none.
                  .circuitFailures(1_000_000);
          if (isThroughSidecar)
            return builder.sidecar(address).agentId(question.get("agentId").getAsString()).build();
          builder.url(address).apiKey(question.get("apiKey").getAsString());
          if (address.startsWith("https:")) builder.ca(Path.of(question.get("caFile").getAsString()));
          return builder.build();
        });
  }

  private static Lines.Answer ask(JsonObject question) {
    DataCrawl client = clientFor(question);
    if (question.get("method").getAsString().equals("BeginExecution")) {
      String decisionId = question.get("decisionId").getAsString();
      Start start = client.begin(Verdict.builder(Reason.RULE_ALLOWED, "").decisionId(decisionId).build());
      if (start.started()) return new Lines.Answer("allow", "STARTED", start.message());
      String reason = start.state() == Start.State.ALREADY_STARTED ? "ALREADY_STARTED" : start.reason();
      return new Lines.Answer("deny", reason, start.message());
    }
    String name = question.getAsJsonObject("payload").get("case").getAsString();
    Verdict verdict =
        client.authorize(
            AuthorizeRequest.of(
                question.get("tool").getAsString(),
                Map.of("case", name),
                question.get("idempotencyKey").getAsString()));
    return new Lines.Answer(verdict.decision().toString(), verdict.reason().name(), verdict.message());
  }
}
