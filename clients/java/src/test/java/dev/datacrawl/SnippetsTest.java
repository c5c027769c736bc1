package dev.datacrawl;

import static dev.datacrawl.authz.v1.Decision.DECISION_ALLOW;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.datacrawl.authz.v1.AuthorizeResponse;
import dev.datacrawl.authz.v1.AuthorizeServiceGrpc;
import dev.datacrawl.authz.v1.AuthorizeServiceGrpc.AuthorizeServiceBlockingStub;
import dev.datacrawl.testing.FakeDataCrawl;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Every Java snippet of the documents, as it stands there. */
@Timeout(240)
class SnippetsTest {
  private static final Path HERE = Path.of("src/test/java/dev/datacrawl/SnippetsTest.java");
  private static final List<Path> DOCUMENTS = List.of(Path.of("../../docs/clients/java.md"), Path.of("README.md"));
  private static final Pattern SNIPPET = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);

  private final String key = ScriptedService.KEY;
  private final String messageId = "7";
  private final String id = "7";
  private final Map<String, Object> payload = Map.of("id", 7);
  private final List<Map<String, Object>> sent = new ArrayList<>();
  private ScriptedService service;
  private String url;
  private DataCrawl dc;

  @BeforeEach
  void start() throws IOException {
    service = new ScriptedService();
    url = service.url();
    dc = service.client().build();
  }

  @AfterEach
  void stop() {
    dc.close();
    service.close();
  }

  private Void sendEmail(Map<String, Object> email) {
    sent.add(email);
    return null;
  }

  private void wire(Map<String, Object> transfer) {
    sent.add(transfer);
  }

  private final List<Object> logged = new ArrayList<>();

  private void log(Object... what) {
    logged.addAll(List.of(what));
  }

  @Test
  void everySnippetOfTheDocumentsIsExecutedHere() throws IOException {
    String executed = unindented(Files.readString(HERE));
    int found = 0;
    for (Path document : DOCUMENTS) {
      Matcher snippet = SNIPPET.matcher(Files.readString(document));
      while (snippet.find()) {
        found++;
        assertTrue(executed.contains(unindented(snippet.group(1))), document + ":\n" + snippet.group(1));
      }
    }
    assertEquals(11, found);
  }

  private static String unindented(String text) {
    return text.lines().map(String::strip).filter(line -> !line.isEmpty()).collect(Collectors.joining("\n"));
  }

  @Test
  void theFirstCall() {
    try (DataCrawl dc = DataCrawl.builder().url(url).apiKey(key).build()) {
      Verdict verdict = dc.authorize(AuthorizeRequest.of("gmail.send_email", payload, "send-" + messageId));
      if (verdict.allowed()) sendEmail(payload);
    }
    assertEquals(List.of(payload), sent);
  }

  @Test
  void theReadme() {
    try (DataCrawl dc = DataCrawl.builder().url(url).apiKey(key).build()) {
      Verdict verdict = dc.authorize(AuthorizeRequest.of("gmail.send_email", payload, "send-" + messageId));
      if (verdict.allowed()) sendEmail(payload);

      // Runs only on allow, and once; else throws.
      var send = dc.protect("gmail.send_email", (allowed, why) -> sendEmail(allowed));
      send.call(payload);
    }
    assertEquals(List.of(payload, payload), sent);
  }

  @Test
  void withoutWaiting() throws InterruptedException {
    dc.authorizeAsync(AuthorizeRequest.of("gmail.send_email", payload, null))
        .thenAccept(verdict -> { if (verdict.allowed()) sendEmail(payload); });
    for (int wait = 0; wait < 5000 && sent.isEmpty(); wait++) Thread.sleep(10);
    assertEquals(List.of(payload), sent);
  }

  @Test
  void aPrincipalAndATimeout() {
    AuthorizeRequest request =
        AuthorizeRequest.builder("crm.create_contact")
            .payload(payload)
            .principal("ann@example.com")
            .sessionId("run-7")
            .build();
    Verdict verdict = dc.authorize(request, CallOptions.timeout(Duration.ofSeconds(2)));
    assertEquals("ann@example.com", service.asked.get(0).getPrincipal());
    assertEquals(16, service.asked.get(0).getNonce().size(), verdict.toString());
  }

  @Test
  void once() {
    FakeDataCrawl dc = new FakeDataCrawl().answer("gmail.send_email", Decision.ALLOW);
    for (int time = 0; time < 2; time++) {
      var send =
          dc.protect(
              "gmail.send_email",
              (allowed, verdict) -> sendEmail(allowed),
              ProtectOptions.builder().key(p -> "send-" + p.get("id")).build());
      try {
        send.call(payload);
      } catch (AlreadyStartedException error) {
        log(error.execution().startedAt(), error.execution().startedBy(), error.execution().outcome());
      }
    }
    assertEquals(List.of(payload), sent);
    assertEquals(3, logged.size());
  }

  @Test
  void byHand() {
    Verdict verdict = dc.authorize(AuthorizeRequest.of("gmail.send_email", payload, "send-7"));
    Start start = dc.begin(verdict);
    if (start.started()) {
      sendEmail(payload);
      dc.report(start, Outcome.SUCCEEDED);
    }
    assertEquals(1, service.reported.size());
  }

  @Test
  void aReview() {
    FakeDataCrawl dc = new FakeDataCrawl().answer("bank.wire", Decision.NEEDS_REVIEW);
    Verdict verdict = dc.authorize(AuthorizeRequest.of("bank.wire", payload, "wire-" + id));
    if (verdict.decision() == Decision.NEEDS_REVIEW)
      verdict = dc.waitForReview(verdict.decisionId(), Duration.ofMinutes(10));
    if (verdict.allowed()) wire(payload);
    assertEquals(List.of(), sent);
  }

  @Test
  void aSidecar() {
    DataCrawl dc = DataCrawl.builder().sidecar("127.0.0.1:7443").build();
    dc.close();
  }

  private void runAgent(Authorizer authorizer) {
    authorizer.protect("gmail.send_email", (p, v) -> sendEmail(p), ProtectOptions.builder().key(p -> "send-7").build()).call(payload);
  }

  @Test
  void theFake() {
    FakeDataCrawl fake = new FakeDataCrawl().answer("gmail.send_email", Decision.ALLOW);
    runAgent(fake);
    assertEquals("send-7", fake.requests().get(0).idempotencyKey());
    assertThrows(DeniedException.class, () -> runAgent(new FakeDataCrawl()));
  }

  @Test
  void theBareStub() {
    ManagedChannel channel = NettyChannelBuilder.forTarget(service.address()).usePlaintext().build();
    dev.datacrawl.authz.v1.AuthorizeRequest request =
        dev.datacrawl.authz.v1.AuthorizeRequest.newBuilder()
            .setTool("gmail.send_email")
            .setIdempotencyKey("send-7")
            .build();
    Metadata credential = new Metadata();
    credential.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + key);
    AuthorizeServiceBlockingStub stub =
        AuthorizeServiceGrpc.newBlockingStub(channel)
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(credential))
            .withDeadlineAfter(5, TimeUnit.SECONDS);
    AuthorizeResponse response = stub.authorize(request); // throws StatusRuntimeException: then do not act
    if (response.getDecision() == DECISION_ALLOW) sendEmail(payload);
    channel.shutdownNow();
    assertEquals(List.of(payload), sent);
  }
}
