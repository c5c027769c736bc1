package dev.datacrawl.testing;

import dev.datacrawl.AuthorizeRequest;
import dev.datacrawl.Authorizer;
import dev.datacrawl.CallOptions;
import dev.datacrawl.Decision;
import dev.datacrawl.ExecutionReport;
import dev.datacrawl.Reason;
import dev.datacrawl.RefusalCode;
import dev.datacrawl.Reported;
import dev.datacrawl.Source;
import dev.datacrawl.Start;
import dev.datacrawl.Verdict;
import dev.datacrawl.internal.json.Json;
import dev.datacrawl.internal.json.NotJson;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * A stand-in for {@code DataCrawl} in tests. It connects to nothing, and denies every tool without an answer. Safe for threads.
 *
 * <pre>{@code
 * FakeDataCrawl dc = new FakeDataCrawl().answer("gmail.send_email", Decision.ALLOW);
 * runAgent(dc);
 * assertEquals("gmail.send_email", dc.requests().get(0).tool());
 * }</pre>
 */
public final class FakeDataCrawl implements Authorizer {
  private static final Duration REPORT_DUE = Duration.ofMinutes(15);

  private final Map<String, Function<Map<String, ?>, Decision>> answers = new HashMap<>();
  private final List<AuthorizeRequest> requests = new ArrayList<>();
  private final List<ExecutionReport> reports = new ArrayList<>();
  private final List<String> warnings = new ArrayList<>();
  private final Map<String, Verdict> reviews = new HashMap<>();
  /** By the key of the action, or by the decision where no key was given. */
  private final Map<String, Execution> executions = new HashMap<>();

  private static final class Execution {
    final Start start;
    ExecutionReport report;
    Instant endedAt;

    Execution(Start start) {
      this.start = start;
    }
  }

  /** Answers a tool with a decision. Returns this. */
  public FakeDataCrawl answer(String tool, Decision decision) {
    return answer(tool, payload -> decision);
  }

  /** Answers a tool by its payload. Returns this. */
  public synchronized FakeDataCrawl answer(String tool, Function<Map<String, ?>, Decision> answer) {
    answers.put(tool, answer);
    return this;
  }

  /** The requests, in order; each payload is a copy. */
  public synchronized List<AuthorizeRequest> requests() {
    return new ArrayList<>(requests);
  }

  /** How executions ended, in the order of their reports. */
  public synchronized List<ExecutionReport> reports() {
    return new ArrayList<>(reports);
  }

  /** What was warned of. */
  public synchronized List<String> warnings() {
    return new ArrayList<>(warnings);
  }

  @Override
  public synchronized Verdict authorize(AuthorizeRequest request, CallOptions options) {
    Map<String, Object> payload;
    try {
      payload = Json.copyOf(request.payload());
    } catch (NotJson | RuntimeException error) {
      return verdict(Reason.REQUEST_REFUSED, request).code(RefusalCode.BAD_REQUEST).build();
    }
    AuthorizeRequest asked =
        AuthorizeRequest.builder(request.tool())
            .payload(payload)
            .idempotencyKey(request.idempotencyKey())
            .principal(request.principal())
            .sessionId(request.sessionId())
            .build();
    requests.add(asked);
    Function<Map<String, ?>, Decision> answer = answers.get(request.tool());
    Verdict verdict = verdict(reasonOf(answer == null ? null : answer.apply(payload)), asked).build();
    if (verdict.decision() == Decision.NEEDS_REVIEW) reviews.put(verdict.decisionId(), verdict);
    return verdict;
  }

  private static Reason reasonOf(Decision decision) {
    if (decision == null) return Reason.NO_MATCHING_RULE;
    switch (decision) {
      case ALLOW:
        return Reason.RULE_ALLOWED;
      case NEEDS_REVIEW:
        return Reason.REVIEW_PENDING;
      default:
        return Reason.RULE_DENIED;
    }
  }

  private static Verdict.Builder verdict(Reason reason, AuthorizeRequest request) {
    String key = request.idempotencyKey();
    return Verdict.builder(reason, "The fake answers " + reason + ".")
        .decisionId(UUID.randomUUID().toString())
        .source(Source.SERVICE)
        .tool(request.tool() == null ? "" : request.tool())
        .idempotencyKey(key == null ? "" : key);
  }

  /**
   * Decides a review; later calls of {@code waitForReview} return this decision.
   *
   * @throws IllegalArgumentException if the decision needs no review
   */
  public synchronized void resolveReview(String decisionId, boolean approved) {
    Verdict pending = reviews.get(decisionId);
    if (pending == null) throw new IllegalArgumentException("there is no decision " + decisionId + " that needs a review");
    Reason reason = approved ? Reason.REVIEW_APPROVED : Reason.REVIEW_REJECTED;
    reviews.put(
        decisionId,
        Verdict.builder(reason, "The fake answers " + reason + ".")
            .decisionId(decisionId)
            .source(Source.SERVICE)
            .tool(pending.tool())
            .idempotencyKey(pending.idempotencyKey())
            .build());
  }

  @Override
  public synchronized Verdict waitForReview(String decisionId, Duration timeout) {
    Verdict found = reviews.get(decisionId);
    if (found != null) return found;
    return Verdict.builder(Reason.REQUEST_REFUSED, "There is no such review.")
        .decisionId(decisionId)
        .code(RefusalCode.BAD_REQUEST)
        .build();
  }

  /** Each decision is started once, and so is each idempotency key that was given. */
  @Override
  public synchronized Start begin(Verdict verdict, CallOptions options) {
    String decisionId = verdict.decisionId();
    String message = "The fake starts each action once.";
    if (!verdict.allowed()) return Start.refused(message, decisionId, Source.SERVICE, "NOT_ALLOWED", null, null);
    String key = verdict.idempotencyKey().isEmpty() ? decisionId : "key " + verdict.idempotencyKey();
    Execution before = executions.get(key);
    Instant now = Instant.now();
    if (before == null) {
      String executionId = UUID.randomUUID().toString();
      Start start =
          Start.started(message, decisionId, Source.SERVICE, executionId, now, "fake", now.plus(REPORT_DUE));
      executions.put(key, new Execution(start));
      return start;
    }
    Instant startedAt = before.start.startedAt().orElse(now);
    return Start.alreadyStarted(
        message,
        decisionId,
        Source.SERVICE,
        startedAt,
        "fake",
        startedAt.plus(REPORT_DUE),
        before.report == null ? null : before.report.outcome(),
        before.endedAt);
  }

  @Override
  public synchronized Reported report(Start execution, ExecutionReport report, CallOptions options) {
    for (Execution one : executions.values()) {
      if (!one.start.executionId().equals(execution.executionId())) continue;
      boolean replayed = one.report != null;
      if (replayed && one.report.outcome() != report.outcome()) break;
      if (!replayed) {
        one.report = report;
        one.endedAt = Instant.now();
        reports.add(report);
      }
      return Reported.recorded(one.endedAt, replayed);
    }
    String message = "There is no such execution, or it ended otherwise.";
    return Reported.notRecorded(Reason.REQUEST_REFUSED, message, RefusalCode.BAD_REQUEST, null);
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
  public synchronized void warn(String message) {
    warnings.add(message);
  }
}
