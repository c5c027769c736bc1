package dev.datacrawl;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class OptionsTest {
  private static final String KEY = ScriptedService.KEY;

  private static DataCrawl.Builder keyed() {
    return DataCrawl.builder().apiKey(KEY);
  }

  static Stream<Arguments> wrong() {
    return Stream.of(
        Arguments.of(DataCrawl.builder(), "apiKey (or DATACRAWL_API_KEY) must be dc_agent_<agent id>_<key id>_<secret>"),
        Arguments.of(DataCrawl.builder().apiKey("s3cret"), "apiKey (or DATACRAWL_API_KEY) must be dc_agent_"),
        Arguments.of(keyed().url("http://authz.internal:7440"), "must be https://, since authz.internal is not this machine"),
        Arguments.of(keyed().url("http://127.0.0.1.evil.test:7440"), "must be https://"),
        Arguments.of(keyed().url("https://a@b:1"), "must be http:// or https:// with a host and a port, and nothing else"),
        Arguments.of(keyed().url("https://b:1/path"), "and nothing else"),
        Arguments.of(keyed().url("ftp://b:1"), "and nothing else"),
        Arguments.of(keyed().url("http://127.0.0.1:99999"), "must have a port up to 65535, has 99999"),
        Arguments.of(keyed().timeout(Duration.ZERO), "timeout must be from 1 ms to PT10M, is PT0S"),
        Arguments.of(keyed().timeout(null), "timeout must be from 1 ms to PT10M, is null"),
        Arguments.of(keyed().circuitFailures(0), "circuitFailures must be at least 1, is 0"),
        Arguments.of(keyed().circuitProbeAfter(Duration.ofDays(1)), "circuitProbeAfter must be from 1 ms to PT1H"),
        Arguments.of(keyed().agentId("other"), "must be demo, the agent of the key"),
        Arguments.of(keyed().token(() -> "t"), "token (or DATACRAWL_TOKEN_FILE) replaces apiKey"),
        Arguments.of(DataCrawl.builder().token(() -> "t"), "agentId (or DATACRAWL_AGENT_ID) must be the agent that the token"),
        Arguments.of(keyed().clientCertificate(Path.of("a"), Path.of("b")), "needs a URL that begins with https://"),
        Arguments.of(
            keyed().url("https://a:1").clientCertificate(Path.of("/no/such"), Path.of("/no/such")),
            "the client certificate cannot be used (NoSuchFileException)"),
        Arguments.of(keyed().url("https://a:1").ca(Path.of("pom.xml")), "ca must name a file of certificates in PEM, is pom.xml"),
        Arguments.of(keyed().sidecar("127.0.0.1:7443").url("http://127.0.0.1:1"), "sidecar replaces url"),
        Arguments.of(DataCrawl.builder().sidecar("10.0.0.1:7443"), "must be a host and port of this machine"),
        Arguments.of(DataCrawl.builder().sidecar("unix:relative"), "must be a host and port of this machine"),
        Arguments.of(keyed().logger(null), "logger must not be null"));
  }

  @ParameterizedTest
  @MethodSource("wrong")
  void aWrongOptionIsNamed(DataCrawl.Builder builder, String problem) {
    String message = assertThrows(IllegalArgumentException.class, () -> builder.build(Map.of())).getMessage();
    assertTrue(message.contains(problem), message);
    assertFalse(message.contains("s3cret"), message);
  }

  @Test
  void allProblemsAreNamedAtOnce() {
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> DataCrawl.builder().url("x").timeout(Duration.ZERO).circuitFailures(0).build(Map.of()))
            .getMessage();
    assertEquals(4, message.split("; ").length, message);
  }

  @ParameterizedTest
  @MethodSource("right")
  void aRightOptionIsAccepted(DataCrawl.Builder builder) {
    assertDoesNotThrow(() -> builder.build(Map.of())).close();
  }

  static Stream<DataCrawl.Builder> right() {
    return Stream.of(
        keyed(),
        keyed().url("http://localhost:7440/"),
        keyed().url("http://[::1]:7440"),
        keyed().url("https://authz.internal"),
        keyed().agentId("demo"),
        DataCrawl.builder().sidecar("localhost:7443"),
        DataCrawl.builder().sidecar("unix:/run/datacrawl.sock").agentId("demo"),
        DataCrawl.builder().token(() -> "t").agentId("demo"));
  }

  @Test
  void theEnvironmentIsUsedWhereNothingIsGiven() {
    Map<String, String> environment =
        Map.of("DATACRAWL_URL", "http://127.0.0.1:1", "DATACRAWL_API_KEY", KEY, "DATACRAWL_AGENT_ID", "demo");
    assertDoesNotThrow(() -> DataCrawl.builder().build(environment)).close();
    // A key that is given is not measured by the agent of the environment.
    assertDoesNotThrow(() -> keyed().build(Map.of("DATACRAWL_AGENT_ID", "other"))).close();
    assertDoesNotThrow(() -> DataCrawl.builder().build(Map.of("DATACRAWL_SIDECAR", "127.0.0.1:7443"))).close();
    assertThrows(
        IllegalArgumentException.class, () -> DataCrawl.builder().build(Map.of("DATACRAWL_URL", "http://a:1", "DATACRAWL_API_KEY", KEY)));
    assertThrows(
        IllegalArgumentException.class,
        () -> DataCrawl.builder().build(Map.of("DATACRAWL_TOKEN_FILE", "/no/such", "DATACRAWL_AGENT_ID", "demo")));
  }

  @Test
  void aReportIsBounded() {
    ExecutionReport report = ExecutionReport.of(Outcome.FAILED);
    assertThrows(IllegalArgumentException.class, () -> report.withErrorCode("x".repeat(129)));
    assertThrows(IllegalArgumentException.class, () -> report.withErrorCode("a\nb"));
    assertThrows(IllegalArgumentException.class, () -> report.withSummary("x".repeat(1025)));
    assertThrows(IllegalArgumentException.class, () -> report.withSummary("\0"));
    assertThrows(IllegalArgumentException.class, () -> report.withSummary("\ud800"));
    assertThrows(IllegalArgumentException.class, () -> report.withDuration(Duration.ofMillis(-1)));
    assertEquals("failed (HTTP_503)", report.withErrorCode("HTTP_503").toString());
  }
}
