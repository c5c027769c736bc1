package dev.datacrawl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The client against the real service and its sidecar, which test/clients/java.test.ts starts. */
@Timeout(120)
class ServiceTest {
  private static final Map<String, Object> INSIDE =
      Map.of("to", List.of("ann@example.com"), "subject", "Hi", "body", "Hello");
  private static final Map<String, Object> OUTSIDE =
      Map.of("to", List.of("eve@elsewhere.org"), "subject", "Hi", "body", "Hello");

  @BeforeAll
  static void needsTheService() {
    assumeTrue(
        System.getenv("DATACRAWL_TEST_URL") != null,
        "no service: run these tests by npx vitest run test/clients/java.test.ts");
  }

  private static String env(String name) {
    String value = System.getenv("DATACRAWL_TEST_" + name);
    if (value == null) throw new IllegalStateException("DATACRAWL_TEST_" + name + " is missing");
    return value;
  }

  /** On a machine under load. */
  private static DataCrawl.Builder patient() {
    return DataCrawl.builder().timeout(Duration.ofSeconds(60));
  }

  private static DataCrawl direct() {
    return patient().url(env("URL")).apiKey(env("KEY")).build();
  }

  private static String key() {
    return UUID.randomUUID().toString();
  }

  @Test
  void thePolicyDecides() {
    try (DataCrawl dc = direct()) {
      Verdict allowed = dc.authorize(AuthorizeRequest.of("gmail.send_email", INSIDE, key()));
      assertTrue(allowed.allowed(), allowed.toString());
      assertEquals(Optional.of("email-inside"), allowed.ruleId());
      Verdict denied = dc.authorize(AuthorizeRequest.of("no.such_tool", Map.of(), key()));
      assertEquals(Reason.NO_MATCHING_RULE, denied.reason());
      assertEquals(Source.SERVICE, denied.source());
      Verdict review = dc.authorize(AuthorizeRequest.of("gmail.send_email", OUTSIDE, key()));
      assertEquals(Decision.NEEDS_REVIEW, review.decision());
      assertFalse(review.allowed());
    }
  }

  @Test
  void aRetryUnderTheSameKeyIsReplayedAndAnotherRequestUnderItIsDenied() {
    try (DataCrawl dc = direct()) {
      String key = key();
      Verdict first = dc.authorize(AuthorizeRequest.of("gmail.send_email", INSIDE, key));
      Verdict again = dc.authorize(AuthorizeRequest.of("gmail.send_email", INSIDE, key));
      assertFalse(first.replayed());
      assertTrue(again.replayed());
      assertEquals(first.decisionId(), again.decisionId());
      Verdict other = dc.authorize(AuthorizeRequest.of("gmail.send_email", OUTSIDE, key));
      assertEquals(Reason.IDEMPOTENCY_KEY_REUSED, other.reason());
    }
  }

  @Test
  void twoEqualRequestsWithoutAKeyAreOneAction() {
    try (DataCrawl dc = direct()) {
      String subject = key();
      Map<String, Object> payload = Map.of("to", List.of("ann@example.com"), "subject", subject);
      Verdict first = dc.authorize(AuthorizeRequest.of("gmail.send_email", payload, null));
      Verdict again = dc.authorize(AuthorizeRequest.of("gmail.send_email", payload, null));
      assertTrue(again.replayed(), again.toString());
      assertEquals(first.decisionId(), again.decisionId());
      AuthorizeRequest forAnn = AuthorizeRequest.builder("gmail.send_email").payload(payload).principal("ann").sessionId("s").build();
      Verdict other = dc.authorize(forAnn);
      assertFalse(other.replayed());
      assertNotEquals(first.idempotencyKey(), other.idempotencyKey());
    }
  }

  /** Numbers and letters of all kinds: the service derives the digest itself, and a replay needs the same one. */
  @Test
  void theServiceReadsThePayloadAsItWasMeant() {
    Map<String, Object> payload =
        Map.of("to", List.of("ann@example.com"), "numbers", List.of(0.1, 1e-7, 1e-300 / 3, -0.0, 5e-324, 9007199254740991L), "text", "\u20ac \ud83d\ude00 \u2028 \"\\\b");
    try (DataCrawl dc = direct()) {
      Verdict first = dc.authorize(AuthorizeRequest.of("gmail.send_email", payload, null));
      assertEquals(Source.SERVICE, first.source(), first.toString());
      assertTrue(dc.authorize(AuthorizeRequest.of("gmail.send_email", payload, first.idempotencyKey())).replayed());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"URL", "SIDECAR", "SIDECAR_SOCKET"})
  void anActionRunsOnceAcrossClients(String where) {
    AtomicInteger runs = new AtomicInteger();
    String key = key();
    ProtectOptions options = ProtectOptions.builder().key(payload -> key).build();
    for (int client = 0; client < 2; client++) {
      try (DataCrawl dc = clientAt(where)) {
        Protected<Integer, RuntimeException> send =
            dc.protect("gmail.send_email", (payload, verdict) -> runs.incrementAndGet(), options);
        if (client == 0) {
          assertEquals(1, send.call(INSIDE));
        } else {
          AlreadyStartedException again = assertThrows(AlreadyStartedException.class, () -> send.call(INSIDE));
          assertEquals(Optional.of(Outcome.SUCCEEDED), again.execution().outcome());
        }
      }
    }
    assertEquals(1, runs.get());
  }

  /** The agent's process of {@link #aKilledAgentSendsNoSecondMail}: a key, a mailbox, and where it is killed. */
  static final class Agent {
    private Agent() {}

    public static void main(String[] arguments) {
      Path mailbox = Path.of(arguments[1]);
      ProtectOptions options = ProtectOptions.builder().key(payload -> arguments[0]).build();
      Action<String, IOException> action =
          (payload, verdict) -> {
            if (arguments[2].equals("before")) Runtime.getRuntime().halt(137);
            Files.createFile(mailbox);
            if (arguments[2].equals("after")) Runtime.getRuntime().halt(137);
            return "sent";
          };
      try (DataCrawl dc = direct()) {
        System.out.print(dc.protect("gmail.send_email", action, options).call(INSIDE));
      } catch (AlreadyStartedException again) {
        System.out.print("started before, " + again.execution().outcome());
      } catch (IOException failed) {
        System.out.print("a second mail: " + failed);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"before, false", "after, true"})
  void aKilledAgentSendsNoSecondMail(String dies, boolean sent, @TempDir Path directory) throws Exception {
    Path mailbox = directory.resolve("mailbox");
    String key = key();
    assertEquals("137 ", runAgent(key, mailbox, dies));
    assertEquals(sent, Files.exists(mailbox));
    for (int again = 0; again < 2; again++)
      assertEquals("0 started before, " + Optional.empty(), runAgent(key, mailbox, "never"));
    assertEquals(sent, Files.exists(mailbox));
  }

  /** What an agent's process ended with and said. */
  private static String runAgent(String key, Path mailbox, String dies) throws Exception {
    String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
    String classes = System.getProperty("java.class.path");
    Process process =
        new ProcessBuilder(java, "-cp", classes, Agent.class.getName(), key, mailbox.toString(), dies)
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return process.waitFor() + " " + said;
  }

  private static DataCrawl clientAt(String where) {
    return where.equals("URL") ? direct() : patient().sidecar(env(where)).build();
  }

  @ParameterizedTest
  @ValueSource(strings = {"URL", "SIDECAR"})
  void peopleDecideAReview(String where) {
    try (DataCrawl dc = clientAt(where)) {
      Verdict pending = dc.authorize(AuthorizeRequest.of("gmail.send_email", OUTSIDE, key()));
      assertEquals(Decision.NEEDS_REVIEW, pending.decision(), pending.toString());
      Verdict resolved = dc.waitForReview(pending.decisionId(), Duration.ofSeconds(90));
      assertTrue(resolved.allowed(), resolved.toString());
      assertEquals(Reason.REVIEW_APPROVED, resolved.reason());
      assertEquals(pending.decisionId(), resolved.decisionId());
      assertTrue(dc.begin(resolved).started());
    }
  }

  @Test
  void aKeyThatTheServiceDoesNotKnowIsABadCredential() {
    String unknown = "dc_agent_demo_000000000000_" + "0".repeat(64);
    try (DataCrawl dc = patient().url(env("URL")).apiKey(unknown).build()) {
      Verdict verdict = dc.authorize(AuthorizeRequest.of("gmail.send_email", INSIDE, key()));
      assertEquals(Optional.of(RefusalCode.BAD_CREDENTIAL), verdict.code());
      assertEquals(0, dc.circuit().consecutiveFailures());
    }
  }

  @Test
  void aSidecarSaysWhoDecided() {
    try (DataCrawl dc = patient().sidecar(env("SIDECAR")).agentId("demo").build()) {
      Verdict verdict = dc.authorize(AuthorizeRequest.of("gmail.send_email", INSIDE, key()));
      assertTrue(verdict.allowed(), verdict.toString());
      assertEquals(Source.SERVICE, verdict.source());
    }
    // A sidecar whose service is away.
    try (DataCrawl dc = patient().sidecar(env("LONELY_SIDECAR")).agentId("demo").build()) {
      Verdict verdict = dc.authorize(AuthorizeRequest.of("gmail.send_email", INSIDE, key()));
      assertEquals(Reason.SERVICE_UNAVAILABLE, verdict.reason());
      assertEquals(Source.GUARD, verdict.source());
      // The sidecar answered: the client's own circuit has nothing against it.
      assertEquals(0, dc.circuit().consecutiveFailures());
      Verdict open = null;
      for (int call = 0; call < 2; call++) open = dc.authorize(AuthorizeRequest.of("gmail.send_email", INSIDE, key()));
      assertEquals(Reason.CIRCUIT_OPEN, open.reason(), open.toString());
    }
  }

  @Test
  void aClientCertificateNamesTheAgentAndIsReadAgain() {
    Path ca = Path.of(env("TLS_CA"));
    try (DataCrawl dc =
        patient()
            .url(env("TLS_URL"))
            .ca(ca)
            .clientCertificate(Path.of(env("CERT")), Path.of(env("CERT_KEY")))
            .agentId("bot")
            .build()) {
      Verdict verdict = dc.authorize(AuthorizeRequest.of("no.such_tool", Map.of(), key()));
      assertEquals(Reason.NO_MATCHING_RULE, verdict.reason(), verdict.toString());
      assertEquals(Source.SERVICE, verdict.source());
    }
    IllegalArgumentException mixed =
        assertThrows(
            IllegalArgumentException.class,
            () -> patient().url(env("TLS_URL")).ca(ca).clientCertificate(Path.of(env("CERT")), Path.of(env("OTHER_KEY"))).agentId("bot").build());
    assertTrue(mixed.getMessage().contains("clientCertificate"), mixed.getMessage());
  }

  @Test
  void aServerThatTheAuthoritiesDoNotVouchForIsNotAsked() {
    try (DataCrawl dc = DataCrawl.builder().timeout(Duration.ofSeconds(20)).url(env("TLS_URL")).apiKey(env("KEY")).build()) {
      Verdict verdict = dc.authorize(AuthorizeRequest.of("gmail.send_email", INSIDE, key()));
      assertEquals(Reason.SERVICE_UNAVAILABLE, verdict.reason());
    }
  }
}
