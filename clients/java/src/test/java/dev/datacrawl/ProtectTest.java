package dev.datacrawl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.datacrawl.testing.FakeDataCrawl;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What runs, and what is reported of it. */
@Timeout(240)
class ProtectTest {
  private final FakeDataCrawl dc = new FakeDataCrawl().answer("mail", Decision.ALLOW);
  private final List<Map<String, Object>> ran = new ArrayList<>();
  private final ProtectOptions byId = ProtectOptions.builder().key(payload -> "send-" + payload.get("id")).build();

  private String run(Map<String, Object> payload, Verdict verdict) {
    assertTrue(verdict.allowed());
    ran.add(payload);
    return "sent";
  }

  @Test
  void anAllowedActionRunsOnceAndItsOutcomeIsReported() {
    Protected<String, RuntimeException> send = dc.protect("mail", this::run, byId);
    assertEquals("sent", send.call(Map.of("id", 7)));
    assertEquals(List.of(Map.of("id", 7)), ran);
    assertEquals(Outcome.SUCCEEDED, dc.reports().get(0).outcome());
    assertEquals("send-7", dc.requests().get(0).idempotencyKey());
    AlreadyStartedException again = assertThrows(AlreadyStartedException.class, () -> send.call(Map.of("id", 7)));
    assertEquals(Optional.of(Outcome.SUCCEEDED), again.execution().outcome());
    assertTrue(again.getMessage().contains("under the key send-7, and its outcome was succeeded"), again.getMessage());
    assertEquals(1, ran.size());
    assertEquals(1, dc.reports().size());
  }

  @Test
  void anActionThatIsNotAllowedDoesNotRun() {
    DeniedException denied =
        assertThrows(DeniedException.class, () -> dc.protect("other", this::run).call(Map.of()));
    assertEquals("other", denied.tool());
    assertEquals(Reason.NO_MATCHING_RULE, denied.verdict().reason());
    dc.answer("other", Decision.NEEDS_REVIEW);
    assertThrows(DeniedException.class, () -> dc.protect("other", this::run).call(Map.of()));
    assertEquals(List.of(), ran);
    assertEquals(List.of(), dc.reports());
  }

  @Test
  void whatCannotBeCopiedDoesNotRun() {
    Map<String, Object> payload = Map.of("at", Instant.EPOCH);
    DeniedException denied =
        assertThrows(DeniedException.class, () -> dc.protect("mail", this::run).call(payload));
    assertEquals(Reason.REQUEST_REFUSED, denied.verdict().reason());
    assertEquals(List.of(), ran);
  }

  /** An authorizer that allows and does not look at what it is asked. */
  @Test
  void whatCannotBeCopiedDoesNotRunAlsoIfItIsAllowed() {
    Authorizer careless = new Careless(Start.refused("", "", Source.SERVICE, "EXPIRED", null, null));
    assertThrows(
        DeniedException.class,
        () -> careless.protect("mail", this::run, ProtectOptions.builder().once(false).build()).call(Map.of("at", Instant.EPOCH)));
    assertEquals(List.of(), ran);
  }

  @Test
  void anActionThatCouldNotBeStartedDoesNotRun() {
    Authorizer careless = new Careless(Start.refused("too old", "", Source.SERVICE, "EXPIRED", null, null));
    NotStartedException refused =
        assertThrows(NotStartedException.class, () -> careless.protect("mail", this::run).call(Map.of()));
    assertEquals("mail was not started (EXPIRED): too old", refused.getMessage());
    ExecutionException async =
        assertThrows(
            ExecutionException.class,
            () -> careless.protectAsync("mail", (p, v) -> CompletableFuture.completedFuture(run(p, v))).call(Map.of()).get());
    assertTrue(async.getCause() instanceof NotStartedException);
    assertEquals(List.of(), ran);
  }

  @Test
  void theActionGetsTheValuesThatWereAllowed() {
    Map<String, Object> payload = new HashMap<>(Map.of("to", "ann"));
    dc.answer(
        "mail",
        asked -> {
          payload.put("to", "eve");
          return Decision.ALLOW;
        });
    dc.protect("mail", this::run).call(payload);
    assertEquals(List.of(Map.of("to", "ann")), ran);
  }

  @Test
  void whatTheActionThrowsIsThrownOnAndReportedByItsClass() {
    Protected<String, IOException> send =
        dc.protect(
            "mail",
            (payload, verdict) -> {
              throw new FileNotFoundException("s3cret");
            },
            byId);
    assertThrows(FileNotFoundException.class, () -> send.call(Map.of("id", 1)));
    ExecutionReport report = dc.reports().get(0);
    assertEquals(Outcome.FAILED, report.outcome());
    assertEquals("java.io.FileNotFoundException", report.errorCode());
    assertEquals("", report.summary());
    assertFalse(report.duration().isNegative());
  }

  @Test
  void anActionThatWasBrokenOffIsUnknown() {
    Protected<String, IOException> send =
        dc.protect(
            "mail",
            (payload, verdict) -> {
              throw new InterruptedIOException();
            });
    assertThrows(InterruptedIOException.class, () -> send.call(Map.of()));
    assertEquals(Outcome.UNKNOWN, dc.reports().get(0).outcome());
  }

  @Test
  void aThreadThatIsInterruptedWhileTheActionRunsStillReports() throws IOException {
    try (ScriptedService service = new ScriptedService();
        DataCrawl client = service.client().build()) {
      client
          .protect(
              "mail",
              (payload, verdict) -> {
                Thread.currentThread().interrupt();
                return null;
              })
          .call(Map.of());
      assertTrue(Thread.interrupted());
      assertEquals(1, service.reported.size());
    }
  }

  @Test
  void onceFalseRunsWithoutStartAndReport() {
    Protected<String, RuntimeException> send =
        dc.protect("mail", this::run, ProtectOptions.builder().once(false).key(payload -> "k").build());
    send.call(Map.of());
    send.call(Map.of());
    assertEquals(2, ran.size());
    assertEquals(List.of(), dc.reports());
  }

  @Test
  void runIfAlreadyStartedRunsAgainUnreported() {
    ProtectOptions options = ProtectOptions.builder().runIfAlreadyStarted(true).key(payload -> "k").build();
    Protected<String, RuntimeException> send = dc.protect("mail", this::run, options);
    send.call(Map.of());
    send.call(Map.of());
    assertEquals(2, ran.size());
    assertEquals(1, dc.reports().size());
  }

  @Test
  void aReviewIsWaitedForIfAsked() {
    Authorizer reviewed =
        new Careless(Start.started("", "", Source.SERVICE, "", Instant.EPOCH, "", Instant.EPOCH)) {
          @Override
          public Verdict authorize(AuthorizeRequest request, CallOptions options) {
            return Verdict.builder(Reason.REVIEW_PENDING, "").decisionId("a-review").build();
          }

          @Override
          public Verdict waitForReview(String decisionId, Duration timeout) {
            assertEquals("a-review", decisionId);
            assertEquals(Duration.ofMinutes(10), timeout);
            return Verdict.builder(Reason.REVIEW_APPROVED, "").decisionId(decisionId).build();
          }
        };
    ProtectOptions options = ProtectOptions.builder().waitForReview(Duration.ofMinutes(10)).build();
    assertEquals("sent", reviewed.protect("mail", this::run, options).call(Map.of()));
    assertThrows(DeniedException.class, () -> reviewed.protect("mail", this::run).call(Map.of()));
    assertEquals(1, ran.size());
  }

  @Test
  void anOutcomeThatIsNotRecordedIsWarnedOfAndChangesNothing() {
    Careless careless = new Careless(Start.started("", "the-decision", Source.SERVICE, "x", Instant.EPOCH, "", Instant.EPOCH));
    assertEquals("sent", careless.protect("mail", this::run).call(Map.of()));
    assertEquals(
        List.of("the outcome succeeded of the execution of decision the-decision was not recorded (SERVICE_UNAVAILABLE): gone"),
        careless.warnings);
  }

  @Test
  void thePrincipalAndTheSessionGoWithTheRequest() {
    dc.protect("mail", this::run, ProtectOptions.builder().principal("ann").sessionId("run-7").build()).call(Map.of());
    assertEquals("ann", dc.requests().get(0).principal());
    assertEquals("run-7", dc.requests().get(0).sessionId());
  }

  @Test
  void anActionWithoutWaitingRunsOnceToo() throws Exception {
    ProtectedAsync<String> send =
        dc.protectAsync("mail", (payload, verdict) -> CompletableFuture.supplyAsync(() -> run(payload, verdict)), byId);
    assertEquals("sent", send.call(Map.of("id", 7)).get());
    assertEquals(Outcome.SUCCEEDED, dc.reports().get(0).outcome());
    ExecutionException again = assertThrows(ExecutionException.class, () -> send.call(Map.of("id", 7)).get());
    assertTrue(again.getCause() instanceof AlreadyStartedException, again.toString());
    ExecutionException denied = assertThrows(ExecutionException.class, () -> dc.protectAsync("other", (p, v) -> null).call(Map.of()).get());
    assertTrue(denied.getCause() instanceof DeniedException, denied.toString());
    assertEquals(1, ran.size());
  }

  @Test
  void whatAnActionWithoutWaitingFailsWithIsReported() {
    IllegalStateException error = new IllegalStateException("s3cret");
    List<AsyncAction<String>> failing =
        List.of(
            (payload, verdict) -> CompletableFuture.failedFuture(error),
            (payload, verdict) -> {
              throw error;
            });
    for (AsyncAction<String> action : failing) {
      FakeDataCrawl fake = new FakeDataCrawl().answer("mail", Decision.ALLOW);
      ExecutionException thrown =
          assertThrows(ExecutionException.class, () -> fake.protectAsync("mail", action).call(Map.of()).get());
      assertSame(error, thrown.getCause());
      assertEquals("java.lang.IllegalStateException", fake.reports().get(0).errorCode());
      assertEquals(Outcome.FAILED, fake.reports().get(0).outcome());
    }
  }

  @Test
  void toCancelWhileTheActionRunsCancelsItAndItsOutcomeIsUnknown() {
    CompletableFuture<String> running = new CompletableFuture<>();
    CompletableFuture<String> result = dc.protectAsync("mail", (payload, verdict) -> running).call(Map.of());
    result.cancel(true);
    assertTrue(running.isCancelled());
    assertEquals(Outcome.UNKNOWN, dc.reports().get(0).outcome());
  }

  /** Allows everything, and records nothing. */
  private static class Careless implements Authorizer {
    final List<String> warnings = new ArrayList<>();
    private final Start start;

    Careless(Start start) {
      this.start = start;
    }

    @Override
    public Verdict authorize(AuthorizeRequest request, CallOptions options) {
      return Verdict.builder(Reason.RULE_ALLOWED, "").build();
    }

    @Override
    public Verdict waitForReview(String decisionId, Duration timeout) {
      return authorize(null, null);
    }

    @Override
    public Start begin(Verdict verdict, CallOptions options) {
      return start;
    }

    @Override
    public Reported report(Start execution, ExecutionReport report, CallOptions options) {
      return Reported.notRecorded(Reason.SERVICE_UNAVAILABLE, "gone", null, null);
    }

    @Override
    public CompletableFuture<Verdict> authorizeAsync(AuthorizeRequest request, CallOptions options) {
      return CompletableFuture.completedFuture(authorize(request, options));
    }

    @Override
    public CompletableFuture<Verdict> waitForReviewAsync(String decisionId, Duration timeout) {
      return CompletableFuture.completedFuture(waitForReview(decisionId, timeout));
    }

    @Override
    public CompletableFuture<Start> beginAsync(Verdict verdict, CallOptions options) {
      return CompletableFuture.completedFuture(begin(verdict, options));
    }

    @Override
    public CompletableFuture<Reported> reportAsync(Start execution, ExecutionReport report, CallOptions options) {
      return CompletableFuture.completedFuture(report(execution, report, options));
    }

    @Override
    public void warn(String message) {
      warnings.add(message);
    }
  }
}
