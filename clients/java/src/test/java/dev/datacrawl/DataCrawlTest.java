package dev.datacrawl;

import static dev.datacrawl.ScriptedService.allow;
import static dev.datacrawl.ScriptedService.answer;
import static dev.datacrawl.ScriptedService.patient;
import static dev.datacrawl.ScriptedService.watched;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The client against a service whose answers the tests write. */
@Timeout(240)
class DataCrawlTest {
  private static final AuthorizeRequest REQUEST = AuthorizeRequest.of("gmail.send_email", Map.of("to", "ann"), "send-1");
  private ScriptedService service;
  private DataCrawl dc;

  @BeforeEach
  void start() throws IOException {
    service = new ScriptedService();
    dc = service.client().build();
  }

  @AfterEach
  void stop() {
    dc.close();
    service.close();
  }

  private void use(DataCrawl.Builder builder) {
    dc.close();
    dc = builder.build();
  }

  @Test
  void anAllowAllowsAndHasAllThatTheServiceSaid() {
    Verdict verdict = dc.authorize(REQUEST);
    assertTrue(verdict.allowed(), verdict.toString());
    assertEquals(Decision.ALLOW, verdict.decision());
    assertEquals("allow", verdict.decision().toString());
    assertEquals(Reason.RULE_ALLOWED, verdict.reason());
    assertEquals("The rule allows.", verdict.message());
    assertEquals(ScriptedService.DECISION, verdict.decisionId());
    assertEquals(Optional.of("a-rule"), verdict.ruleId());
    assertEquals(Source.SERVICE, verdict.source());
    assertEquals(Instant.ofEpochSecond(1_800_000_000, 123_456_000), verdict.decidedAt());
    assertEquals("send-1", verdict.idempotencyKey());
    assertEquals("gmail.send_email", verdict.tool());
    assertFalse(verdict.replayed());
    assertEquals(Optional.empty(), verdict.code());
    var sent = service.asked.get(0);
    assertEquals("demo", sent.getAgentId());
    assertEquals(16, sent.getNonce().size());
    assertEquals("ann", sent.getPayload().getFieldsOrThrow("to").getStringValue());
    assertFalse(sent.hasPrincipal() || sent.hasSessionId());
  }

  @ParameterizedTest
  @CsvSource({"2,2,DENY", "7,4,NEEDS_REVIEW"})
  void whatIsNotAnAllowDoesNotAllow(int reason, int decision, Decision expected) {
    service.authorize = (q, out) -> answer(out, allow(q).setReasonValue(reason).setDecisionValue(decision).build());
    Verdict verdict = dc.authorize(REQUEST);
    assertEquals(expected, verdict.decision());
    assertFalse(verdict.allowed());
  }

  @Test
  void thePrincipalAndTheSessionAreSent() {
    dc.authorize(AuthorizeRequest.builder("a.tool").principal("ann").sessionId("run-7").build());
    assertEquals("ann", service.asked.get(0).getPrincipal());
    assertEquals("run-7", service.asked.get(0).getSessionId());
  }

  @Test
  void aRetryHasTheSameKeyAndAnotherNonce() {
    service.authorize =
        (q, out) -> {
          if (service.asked.size() < 3) out.onError(Status.UNAVAILABLE.asRuntimeException());
          else answer(out, allow(q).build());
        };
    Verdict verdict = dc.authorize(AuthorizeRequest.of("a.tool", Map.of("n", 1), null));
    assertTrue(verdict.allowed(), verdict.toString());
    assertTrue(verdict.idempotencyKey().startsWith("sha256:"));
    assertEquals(3, service.asked.size());
    assertEquals(1, service.asked.stream().map(q -> q.getIdempotencyKey()).distinct().count());
    assertEquals(3, service.asked.stream().map(q -> q.getNonce()).distinct().count());
    assertEquals(0, dc.circuit().consecutiveFailures());
  }

  @Test
  void aCallHasAtMostThreeAttemptsAndCountsOnce() {
    service.authorize = (q, out) -> out.onError(Status.UNAVAILABLE.withDescription("gone.").asRuntimeException());
    Verdict verdict = dc.authorize(REQUEST);
    assertEquals(Reason.SERVICE_UNAVAILABLE, verdict.reason());
    assertEquals("The service failed: UNAVAILABLE: gone.", verdict.message());
    assertEquals(Source.GUARD, verdict.source());
    assertEquals(3, service.asked.size());
    assertEquals(1, dc.circuit().consecutiveFailures());
    assertEquals(List.of("UNAVAILABLE: gone"), dc.circuit().lastErrors());
  }

  @ParameterizedTest
  @CsvSource({"INTERNAL", "UNKNOWN", "ABORTED", "DATA_LOSS", "UNIMPLEMENTED", "CANCELLED"})
  void anotherFailureOfTheServiceIsNotRetried(Status.Code code) {
    service.authorize = (q, out) -> out.onError(code.toStatus().asRuntimeException());
    assertEquals(Reason.SERVICE_UNAVAILABLE, dc.authorize(REQUEST).reason());
    assertEquals(1, service.asked.size());
    assertEquals(1, dc.circuit().consecutiveFailures());
  }

  @Test
  void aRefusalSaysWhyAndHowLongToWait() {
    var retry =
        com.google.rpc.RetryInfo.newBuilder()
            .setRetryDelay(com.google.protobuf.Duration.newBuilder().setSeconds(2).setNanos(500_000_000));
    var status =
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
            .setMessage("over 10 a second")
            .addDetails(Any.pack(retry.build()));
    service.authorize = (q, out) -> out.onError(StatusProto.toStatusRuntimeException(status.build()));
    Verdict verdict = dc.authorize(REQUEST);
    assertEquals(Reason.REQUEST_REFUSED, verdict.reason());
    assertEquals(Optional.of(RefusalCode.RATE_LIMITED), verdict.code());
    assertEquals(Optional.of(Duration.ofMillis(2500)), verdict.retryAfter());
    assertEquals(0, dc.circuit().consecutiveFailures());
  }

  @Test
  void theCircuitOpensAfterFiveFailuresAndDeniesWithoutAsking() {
    service.authorize = (q, out) -> out.onError(Status.INTERNAL.asRuntimeException());
    for (int call = 0; call < 5; call++) assertEquals(Reason.SERVICE_UNAVAILABLE, dc.authorize(REQUEST).reason());
    Verdict verdict = dc.authorize(REQUEST);
    assertEquals(Reason.CIRCUIT_OPEN, verdict.reason());
    assertFalse(verdict.allowed());
    assertEquals("send-1", verdict.idempotencyKey());
    assertEquals(5, service.asked.size());
    assertEquals(CircuitSnapshot.State.OPEN, dc.circuit().state());
    assertEquals("CIRCUIT_OPEN", dc.begin(Verdict.builder(Reason.RULE_ALLOWED, "").decisionId(ScriptedService.DECISION).build()).reason());
  }

  @Test
  void oneProbeFindsOutAndARefusalEndsItWell() throws InterruptedException {
    use(service.client().circuitFailures(1).circuitProbeAfter(Duration.ofMillis(50)));
    service.authorize = (q, out) -> out.onError(Status.INTERNAL.asRuntimeException());
    dc.authorize(REQUEST);
    assertEquals(Reason.CIRCUIT_OPEN, dc.authorize(REQUEST).reason());
    service.authorize = (q, out) -> out.onError(Status.UNAUTHENTICATED.asRuntimeException());
    Verdict probe;
    do {
      while (dc.circuit().nextProbeIn().orElse(Duration.ZERO).compareTo(Duration.ZERO) > 0) Thread.sleep(5);
      probe = dc.authorize(REQUEST);
      // A probe that a slow machine does not end within its lease is followed by another.
    } while (probe.reason() == Reason.DEADLINE_EXCEEDED);
    assertEquals(Optional.of(RefusalCode.BAD_CREDENTIAL), probe.code());
    assertEquals(CircuitSnapshot.State.RECOVERING, dc.circuit().state());
    service.authorize = (q, out) -> answer(out, allow(q).build());
    assertTrue(dc.authorize(REQUEST).allowed());
  }

  @Test
  void theKeyTheTimeoutAndTheTraceAreSent() {
    String trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    dc.authorize(REQUEST, CallOptions.timeout(Duration.ofSeconds(3)).withTraceparent(trace));
    dc.authorize(REQUEST, CallOptions.DEFAULT.withTraceparent("nonsense\r\nauthorization: x"));
    assertEquals("Bearer " + ScriptedService.KEY, header(0, "authorization"));
    assertEquals(trace, header(0, "traceparent"));
    assertNull(header(1, "traceparent"));
    assertTrue(header(0, "user-agent").startsWith("datacrawl-java"));
  }

  @Test
  void theTraceComesFromTheSupplierAndOneThatThrowsChangesNothing() {
    String trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    AtomicInteger calls = new AtomicInteger();
    use(
        service
            .client()
            .traceparent(
                () -> {
                  if (calls.getAndIncrement() > 0) throw new IllegalStateException();
                  return trace;
                }));
    assertTrue(dc.authorize(REQUEST).allowed());
    assertTrue(dc.authorize(REQUEST).allowed());
    assertEquals(trace, header(0, "traceparent"));
    assertNull(header(1, "traceparent"));
  }

  private String header(int call, String name) {
    return service.metadata.get(call).get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
  }

  @Test
  void aTokenIsReadForEachAttempt() {
    AtomicInteger tokens = new AtomicInteger();
    use(patient().url(service.url()).agentId("demo").token(() -> "token-" + tokens.incrementAndGet() + "\n"));
    service.authorize =
        (q, out) -> {
          if (service.asked.size() == 1) out.onError(Status.UNAVAILABLE.asRuntimeException());
          else answer(out, allow(q).build());
        };
    assertTrue(dc.authorize(REQUEST).allowed());
    assertEquals("Bearer token-1", header(0, "authorization"));
    assertEquals("Bearer token-2", header(1, "authorization"));
  }

  @Test
  void aTokenThatCannotBeHadDeniesWithoutItsTextAndDoesNotCount() {
    CountDownLatch forever = new CountDownLatch(1);
    List<java.util.function.Supplier<String>> sources =
        List.of(
            () -> null,
            () -> "two words",
            () -> {
              throw new IllegalStateException("s3cret");
            },
            () -> {
              try {
                forever.await();
              } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
              }
              return "late";
            });
    for (var source : sources) {
      use(DataCrawl.builder().url(service.url()).agentId("demo").token(source).timeout(Duration.ofMillis(400)));
      Verdict verdict = dc.authorize(REQUEST);
      assertEquals(Reason.REQUEST_REFUSED, verdict.reason(), verdict.toString());
      assertEquals(Optional.of(RefusalCode.BAD_CREDENTIAL), verdict.code());
      assertFalse(verdict.message().contains("s3cret"));
      assertEquals(0, dc.circuit().consecutiveFailures());
    }
    assertEquals(0, service.asked.size());
  }

  /** Else an agent that gets no token in time would look like a service that does not answer. */
  @Test
  void aTokenThatTakesMoreThanHalfOfTheTimeIsNotWaitedFor() {
    use(
        DataCrawl.builder()
            .url(service.url())
            .agentId("demo")
            .timeout(Duration.ofSeconds(3))
            .token(
                () -> {
                  try {
                    Thread.sleep(2000);
                  } catch (InterruptedException error) {
                    Thread.currentThread().interrupt();
                  }
                  return "late";
                }));
    Verdict verdict = dc.authorize(REQUEST);
    assertEquals(Optional.of(RefusalCode.BAD_CREDENTIAL), verdict.code(), verdict.toString());
    assertEquals(0, service.asked.size());
  }

  @Test
  void aSidecarsOwnDecisionsCountOnlyFromASidecar() {
    service.authorize = (q, out) -> answer(out, allow(q).setReasonValue(25).setSourceValue(2).build());
    assertEquals(Reason.MALFORMED_RESPONSE, dc.authorize(REQUEST).reason());
    // Without an agentId only the sidecar knows the agent.
    service.authorize =
        (q, out) -> answer(out, allow(q).setReasonValue(25).setSourceValue(2).setAgentId("the-sidecars").build());
    use(patient().sidecar(service.address()));
    Verdict verdict = dc.authorize(REQUEST);
    assertTrue(verdict.allowed(), verdict.toString());
    assertEquals(Reason.CIRCUIT_BYPASS, verdict.reason());
    assertEquals(Source.GUARD, verdict.source());
    assertNull(header(1, "authorization"));
    // A service's reason from a guard, and a guard's from a service, agree with nothing.
    service.authorize = (q, out) -> answer(out, allow(q).setSourceValue(2).build());
    assertEquals(Reason.MALFORMED_RESPONSE, dc.authorize(REQUEST).reason());
    service.authorize = (q, out) -> answer(out, allow(q).setReasonValue(25).build());
    assertEquals(Reason.MALFORMED_RESPONSE, dc.authorize(REQUEST).reason());
  }

  @Test
  void whatASidecarAnswersIsNotTriedAgain() {
    use(patient().sidecar(service.address()));
    service.begin = (q, out) -> out.onError(Status.UNAVAILABLE.asRuntimeException());
    Start start = dc.begin(dc.authorize(REQUEST));
    assertEquals("SERVICE_UNAVAILABLE", start.reason());
    assertEquals(1, service.begun.size());
  }

  @Test
  void aSidecarWithoutAnAgentIdNeedsAKey() {
    use(patient().sidecar(service.address()));
    Verdict verdict = dc.authorize(AuthorizeRequest.of("a.tool", Map.of(), null));
    assertEquals(Optional.of(RefusalCode.BAD_REQUEST), verdict.code());
    use(patient().sidecar(service.address()).agentId("demo"));
    assertTrue(dc.authorize(AuthorizeRequest.of("a.tool", Map.of(), null)).allowed());
  }

  @Test
  void theHookSeesEachVerdictAndOneThatThrowsChangesNothing() {
    List<String> seen = new ArrayList<>();
    use(
        service
            .client()
            .onVerdict(
                (verdict, tool) -> {
                  seen.add(tool + " " + verdict.decision());
                  throw new IllegalStateException();
                }));
    assertTrue(dc.authorize(REQUEST).allowed());
    assertTrue(dc.authorizeAsync(REQUEST).join().allowed());
    assertFalse(dc.authorize(AuthorizeRequest.of("", Map.of(), "k")).allowed());
    assertEquals(List.of("gmail.send_email allow", "gmail.send_email allow", " deny"), seen);
  }

  @Test
  void aRequestThatBreaksTheContractIsDeniedAndNotSent() {
    Map<String, Object> hostile =
        new HashMap<>() {
          private static final long serialVersionUID = 1L;

          @Override
          public java.util.Set<Map.Entry<String, Object>> entrySet() {
            throw new IllegalStateException("s3cret");
          }
        };
    List<AuthorizeRequest> requests =
        List.of(
            AuthorizeRequest.of("a.tool", Map.of("at", Instant.EPOCH), "k"),
            AuthorizeRequest.of("a.tool", Map.of("n", Double.NaN), "k"),
            AuthorizeRequest.of("a.tool", Map.of(), "k".repeat(257)),
            AuthorizeRequest.of(null, Map.of(), "k"),
            AuthorizeRequest.of("a.tool", hostile, "k"));
    for (AuthorizeRequest request : requests) {
      Verdict verdict = dc.authorize(request);
      assertEquals(Reason.REQUEST_REFUSED, verdict.reason());
      assertEquals(Optional.of(RefusalCode.BAD_REQUEST), verdict.code());
      assertFalse(verdict.message().contains("s3cret"));
    }
    assertFalse(dc.authorize(null).allowed());
    assertEquals(0, service.asked.size());
    assertTrue(dc.authorize(REQUEST, null).allowed());
    assertFalse(dc.authorize(REQUEST, CallOptions.timeout(Duration.ZERO)).allowed());
    assertFalse(dc.authorizeAsync(REQUEST, CallOptions.timeout(Duration.ofHours(1))).join().allowed());
  }

  @Test
  void aStartHasOneNonceForAllItsAttempts() {
    service.begin =
        (q, out) -> {
          if (service.begun.size() < 3) out.onError(Status.UNAVAILABLE.asRuntimeException());
          else answer(out, ScriptedService.started(q).build());
        };
    Start start = dc.begin(dc.authorize(REQUEST));
    assertTrue(start.started(), start.toString());
    assertEquals(ScriptedService.EXECUTION, start.executionId());
    assertEquals("0123456789ab", start.startedBy());
    assertEquals(3, service.begun.size());
    assertEquals(1, service.begun.stream().map(q -> q.getNonce()).distinct().count());
    Start other = dc.begin(dc.authorize(REQUEST));
    assertTrue(other.started());
    assertNotEquals(service.begun.get(0).getNonce(), service.begun.get(3).getNonce());
  }

  @Test
  void whatIsNotAnAllowIsNotStarted() {
    assertEquals("REQUEST_REFUSED", dc.begin(Verdict.builder(Reason.RULE_DENIED, "").decisionId(ScriptedService.DECISION).build()).reason());
    assertEquals("REQUEST_REFUSED", dc.begin(null).reason());
    assertEquals("REQUEST_REFUSED", dc.begin(Verdict.builder(Reason.RULE_ALLOWED, "").decisionId("x").build()).reason());
    assertEquals(0, service.begun.size());
  }

  @Test
  void aReportSaysHowItEnded() {
    Start start = dc.begin(dc.authorize(REQUEST));
    ExecutionReport report =
        ExecutionReport.of(Outcome.FAILED).withErrorCode("HTTP_503").withDuration(Duration.ofMillis(12)).withSummary("no");
    Reported reported = dc.report(start, report, CallOptions.DEFAULT);
    assertTrue(reported.recorded(), reported.toString());
    assertEquals(Optional.of(Instant.ofEpochSecond(1_800_000_001)), reported.endedAt());
    var sent = service.reported.get(0);
    assertEquals(2, sent.getOutcomeValue());
    assertEquals("HTTP_503", sent.getErrorCode());
    assertEquals(12, sent.getDurationMs());
    assertEquals("no", sent.getSummary());
    assertFalse(dc.report(dc.begin(null), Outcome.SUCCEEDED).recorded());
  }

  @Test
  void aReviewIsWaitedForOverStreamsThatBreak() {
    AtomicInteger streams = new AtomicInteger();
    service.watch =
        (q, out) -> {
          int number = streams.incrementAndGet();
          if (number == 1) out.onError(Status.UNAVAILABLE.asRuntimeException());
          else {
            out.onNext(watched(q, 7, 4).build());
            if (number == 3) out.onNext(watched(q, 8, 1).build());
            out.onCompleted();
          }
        };
    Verdict verdict = dc.waitForReview(ScriptedService.DECISION, Duration.ofSeconds(30));
    assertTrue(verdict.allowed(), verdict.toString());
    assertEquals(Reason.REVIEW_APPROVED, verdict.reason());
    assertEquals(ScriptedService.DECISION, verdict.decisionId());
    assertEquals(3, streams.get());
    assertEquals(0, dc.circuit().consecutiveFailures());
  }

  @Test
  void aReviewThatNobodyDecidesIsStillPending() throws Exception {
    AtomicInteger streams = new AtomicInteger();
    service.watch =
        (q, out) -> {
          streams.incrementAndGet();
          answer(out, watched(q, 7, 4).build());
        };
    CompletableFuture<Verdict> waiting = dc.waitForReviewAsync(ScriptedService.DECISION, Duration.ofDays(1));
    // The first stream has ended, and been read, when the second one begins.
    while (streams.get() < 2) Thread.sleep(5);
    dc.close();
    assertEquals(Decision.NEEDS_REVIEW, waiting.get().decision());
  }

  @Test
  void aReviewOfAnotherAgentIsRefusedAtOnce() {
    Verdict verdict = dc.waitForReview(ScriptedService.DECISION, Duration.ofDays(7));
    assertEquals(Reason.REQUEST_REFUSED, verdict.reason());
    assertFalse(dc.waitForReview("nonsense", Duration.ofDays(7)).allowed());
    assertFalse(dc.waitForReview(null, Duration.ofDays(7)).allowed());
    assertFalse(dc.waitForReview(ScriptedService.DECISION, Duration.ofDays(8)).allowed());
  }

  @Test
  void whatIsChainedToAFutureMayBlockAndAskAgain() {
    CompletableFuture<Boolean> both =
        dc.authorizeAsync(REQUEST).thenApply(verdict -> verdict.allowed() && dc.authorize(REQUEST).allowed());
    assertTrue(both.join());
  }

  @Test
  void aCancelledFutureCancelsTheCallAndDoesNotCount() throws Exception {
    CountDownLatch cancelled = new CountDownLatch(1);
    service.authorize =
        (q, out) -> ((io.grpc.stub.ServerCallStreamObserver<?>) out).setOnCancelHandler(cancelled::countDown);
    use(service.client().circuitFailures(1));
    CompletableFuture<Verdict> future = dc.authorizeAsync(REQUEST);
    while (service.asked.isEmpty()) Thread.sleep(1);
    future.cancel(true);
    assertTrue(cancelled.await(30, TimeUnit.SECONDS));
    assertEquals(CircuitSnapshot.State.CLOSED, dc.circuit().state());
  }

  @Test
  void anInterruptedThreadCancelsItsCall() throws Exception {
    CountDownLatch cancelled = new CountDownLatch(1);
    service.authorize =
        (q, out) -> ((io.grpc.stub.ServerCallStreamObserver<?>) out).setOnCancelHandler(cancelled::countDown);
    Thread thread = new Thread(() -> dc.authorize(REQUEST));
    thread.start();
    while (service.asked.isEmpty()) Thread.sleep(1);
    thread.interrupt();
    assertTrue(cancelled.await(30, TimeUnit.SECONDS));
    thread.join();
    assertEquals(0, dc.circuit().consecutiveFailures());
  }

  @Test
  void aManyThreadedClientAnswersEachItsOwn() throws Exception {
    List<CompletableFuture<Verdict>> futures = new ArrayList<>();
    for (int call = 0; call < 500; call++)
      futures.add(dc.authorizeAsync(AuthorizeRequest.of("a.tool", Map.of("n", call), "key-" + call)));
    for (int call = 0; call < 500; call++) {
      Verdict verdict = futures.get(call).get();
      assertTrue(verdict.allowed(), verdict.toString());
      assertEquals("key-" + call, verdict.idempotencyKey());
    }
  }

  @Test
  void aClosedClientDenies() {
    assertTrue(dc.authorize(REQUEST).allowed());
    dc.close();
    dc.close();
    assertEquals(Reason.SERVICE_UNAVAILABLE, dc.authorize(REQUEST).reason());
    assertEquals(Reason.SERVICE_UNAVAILABLE, dc.authorizeAsync(REQUEST).join().reason());
    assertFalse(dc.waitForReview(ScriptedService.DECISION, Duration.ofDays(1)).allowed());
  }
}
