package dev.datacrawl.internal.call;

import com.google.protobuf.ByteString;
import dev.datacrawl.Decision;
import dev.datacrawl.ExecutionReport;
import dev.datacrawl.Reason;
import dev.datacrawl.RefusalCode;
import dev.datacrawl.Reported;
import dev.datacrawl.Source;
import dev.datacrawl.Start;
import dev.datacrawl.Verdict;
import dev.datacrawl.authz.v1.AuthorizeRequest;
import dev.datacrawl.authz.v1.BeginExecutionRequest;
import dev.datacrawl.authz.v1.ReportOutcomeRequest;
import dev.datacrawl.authz.v1.WatchDecisionRequest;
import dev.datacrawl.internal.circuit.Breaker;
import dev.datacrawl.internal.transport.CredentialSource;
import dev.datacrawl.internal.transport.GrpcTransport;
import dev.datacrawl.internal.transport.Rpc;
import dev.datacrawl.internal.transport.Target;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.time.Duration;
import java.time.Instant;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** Turns questions into verdicts, starts and reports. No future that it returns completes exceptionally, unless this class has a bug. */
public final class Guard {
  /** One stream lasts no longer, so that a connection that has died silently is noticed. */
  private static final long STREAM_MS = 60_000;
  private static final double FIRST_PAUSE_MS = 250;
  private static final double MAX_PAUSE_MS = 5000;
  private static final long CLOSE_MS = 2000;

  private final String agentId;
  private final boolean sidecar;
  private final Breaker breaker;
  private final EventLoopGroup group;
  private final EventLoop loop;
  private final ThreadPoolExecutor workers;
  private final GrpcTransport transport;
  /** A connection of its own: those who wait for people must not take the place of those who ask. */
  private final GrpcTransport watching;
  private final Asker asker;
  private final Set<Deadline> active = ConcurrentHashMap.newKeySet();
  private volatile boolean isClosed;
  /** Null before the first call. */
  private volatile Thread loopThread;

  /**
   * Starts one thread, and connects with the first call.
   *
   * @param agentId empty if only a sidecar knows it
   */
  public Guard(Target target, CredentialSource credentials, String agentId, boolean sidecar, Breaker breaker) {
    this.agentId = agentId;
    this.sidecar = sidecar;
    this.breaker = breaker;
    DefaultThreadFactory daemons = new DefaultThreadFactory("datacrawl-io", true);
    ThreadFactory threads = task -> loopThread = daemons.newThread(task);
    group = new MultiThreadIoEventLoopGroup(1, threads, NioIoHandler.newFactory());
    loop = group.next();
    workers =
        new ThreadPoolExecutor(
            0, Integer.MAX_VALUE, 1, TimeUnit.SECONDS, new SynchronousQueue<>(), new DefaultThreadFactory("datacrawl-work", true));
    transport = new GrpcTransport(loop, workers, target);
    watching = new GrpcTransport(loop, workers, target);
    asker = new Asker(credentials, workers, sidecar);
  }

  /** Runs what may block: callbacks of the caller's, the reading of credentials, name look-ups. */
  public ExecutorService workers() {
    return workers;
  }

  /** A deadline that ends with this guard. To be given to one call, and closed. */
  public Deadline deadline(double at) {
    Deadline deadline =
        new Deadline((milliseconds, task) -> loop.schedule(task, (long) (milliseconds * 1e6), TimeUnit.NANOSECONDS), at);
    active.add(deadline);
    if (isClosed) deadline.cancel();
    return deadline;
  }

  public void done(Deadline deadline) {
    active.remove(deadline);
    deadline.close();
  }

  /** Asks whether the agent may do this. */
  public CompletableFuture<Verdict> authorize(Question question, Deadline deadline, String traceparent) {
    Breaker.Permit permit = breaker.permit();
    if (permit.denied) return CompletableFuture.completedFuture(deny(question, Reason.CIRCUIT_OPEN, openMessage(permit), null));
    return asker
        .throughCircuit(breaker, permit, deadline, until -> ask(question, until, traceparent))
        .thenApply(
            end -> {
              if (end.answer != null) return end.answer;
              NoAnswer why = NoAnswer.of(end);
              return deny(question, why.reason, why.message, why.refusal);
            });
  }

  private CompletableFuture<End<Verdict>> ask(Question question, Deadline deadline, String traceparent) {
    byte[] nonce = Ids.nonce();
    AuthorizeRequest.Builder request =
        AuthorizeRequest.newBuilder()
            .setTool(question.tool)
            .setPayload(question.struct())
            .setIdempotencyKey(question.idempotencyKey)
            .setAgentId(agentId)
            .setNonce(ByteString.copyFrom(nonce));
    if (question.principal != null) request.setPrincipal(question.principal);
    if (question.sessionId != null) request.setSessionId(question.sessionId);
    Rpc rpc = new Rpc("Authorize", request.build().toByteArray(), false, traceparent);
    Expected expected = Expected.question(agentId, nonce, question, sidecar);
    return asker.attempt(transport, rpc, Long.MAX_VALUE, deadline, reply -> AnswerReader.read(reply, expected));
  }

  /** Starts an allowed decision, once. */
  public CompletableFuture<Start> begin(String decisionId, Deadline deadline, String traceparent) {
    String id = decisionId.toLowerCase(Locale.ROOT);
    if (!Ids.isUuid(id)) {
      String message = "The decision id is not a UUID.";
      return CompletableFuture.completedFuture(
          Start.refused(message, "", Source.GUARD, Reason.REQUEST_REFUSED.name(), RefusalCode.BAD_REQUEST, null));
    }
    Breaker.Permit permit = breaker.permit();
    if (permit.denied)
      return CompletableFuture.completedFuture(
          Start.refused(openMessage(permit), id, Source.GUARD, Reason.CIRCUIT_OPEN.name(), null, null));
    // INVARIANT: all attempts have the same nonce, so a start whose answer was lost is found again, and is one start.
    byte[] nonce = Ids.nonce();
    BeginExecutionRequest request =
        BeginExecutionRequest.newBuilder().setDecisionId(id).setNonce(ByteString.copyFrom(nonce)).build();
    Rpc rpc = new Rpc("BeginExecution", request.toByteArray(), false, traceparent);
    Expected expected = Expected.decision(agentId, nonce, id, sidecar);
    return asker
        .<Start>throughCircuit(
            breaker,
            permit,
            deadline,
            until -> asker.attempt(transport, rpc, Long.MAX_VALUE, until, reply -> StartReader.read(reply, expected)))
        .thenApply(
            end -> {
              if (end.answer != null) return end.answer;
              NoAnswer why = NoAnswer.of(end);
              return Start.refused(why.message, id, Source.GUARD, why.reason.name(), why.code(), why.retryAfter());
            });
  }

  /** Records how an execution ended. The circuit has no part in it: what was done belongs in the trail. */
  public CompletableFuture<Reported> report(
      Start execution, ExecutionReport report, Deadline deadline, String traceparent) {
    String decisionId = execution.decisionId();
    String executionId = execution.executionId();
    ReportOutcomeRequest.Builder request =
        ReportOutcomeRequest.newBuilder()
            .setDecisionId(decisionId)
            .setExecutionId(executionId)
            .setOutcomeValue(StartReader.numberOf(report.outcome()))
            .setErrorCode(report.errorCode())
            .setSummary(report.summary());
    if (report.duration() != null) request.setDurationMs(report.duration().toMillis());
    Rpc rpc = new Rpc("ReportOutcome", request.build().toByteArray(), false, traceparent);
    return asker
        .<StartReader.Recorded>withRetries(
            deadline,
            () ->
                asker.attempt(
                    transport,
                    rpc,
                    Long.MAX_VALUE,
                    deadline,
                    reply -> StartReader.readReport(reply, decisionId, executionId, report.outcome())))
        .thenApply(
            end -> {
              if (end.answer != null) return Reported.recorded(end.answer.endedAt, end.answer.replayed);
              NoAnswer why = NoAnswer.of(end);
              return Reported.notRecorded(why.reason, why.message, why.code(), why.retryAfter());
            });
  }

  /**
   * Watches a decision until its review is resolved, over as many streams as it takes. Ends with the deadline: with the pending answer, if the
   * service has given one, and else with a deny. Neither uses nor changes the circuit.
   */
  public CompletableFuture<Verdict> waitForReview(String decisionId, Deadline deadline) {
    if (!Ids.isUuid(decisionId)) {
      String message = "The decision id is not a UUID.";
      return CompletableFuture.completedFuture(
          denied(Reason.REQUEST_REFUSED, message, Refusal.NOT_A_REQUEST).decisionId(Ids.uuid(Instant.now())).build());
    }
    CompletableFuture<Verdict> resolved = new CompletableFuture<>();
    waitMore(decisionId, deadline, null, null, FIRST_PAUSE_MS, resolved);
    return resolved;
  }

  /** One future for all streams: a chain of them would grow for as long as people take. */
  private void waitMore(
      String decisionId,
      Deadline deadline,
      Verdict before,
      End<Verdict> last,
      double pauseMs,
      CompletableFuture<Verdict> resolved) {
    double startedAt = Deadline.now();
    watch(decisionId, deadline)
        .thenAccept(
            end -> {
              Verdict result = resultOf(decisionId, end, before, last);
              if (result != null) {
                resolved.complete(result);
                return;
              }
              Verdict pending = end.answer != null ? end.answer : before;
              double planned = end.answer != null ? FIRST_PAUSE_MS : pauseMs;
              double left = Math.max(FIRST_PAUSE_MS, planned - (Deadline.now() - startedAt));
              double nextPause = end.answer != null ? planned : Math.min(planned * 2, MAX_PAUSE_MS);
              // Half of it is chance: those who lost a service together do not come back together.
              Asker.pause(deadline, left * (0.5 + Ids.fraction() / 2))
                  .thenAccept(
                      stop -> {
                        if (stop == null) waitMore(decisionId, deadline, pending, end, nextPause, resolved);
                        else resolved.complete(pending != null ? pending : unresolved(decisionId, stop.kind, end));
                      })
                  .exceptionally(error -> failed(resolved, error));
            })
        .exceptionally(error -> failed(resolved, error));
  }

  private static Void failed(CompletableFuture<?> future, Throwable error) {
    future.completeExceptionally(error);
    return null;
  }

  /** What the wait comes to by the end of a stream; null if it goes on. */
  private static Verdict resultOf(String decisionId, End<Verdict> end, Verdict before, End<Verdict> last) {
    if (end.kind == End.Kind.DEADLINE || end.kind == End.Kind.CANCELLED)
      return before != null ? before : unresolved(decisionId, end.kind, last);
    // A limit of the service ends; anything else that it refuses stays refused.
    if (end.kind == End.Kind.REFUSED && end.refusal.code != RefusalCode.RATE_LIMITED)
      return unwatched(decisionId, Reason.REQUEST_REFUSED, end.problem, end.refusal);
    return end.answer != null && end.answer.decision() != Decision.NEEDS_REVIEW ? end.answer : null;
  }

  /** One stream, to its end. */
  private CompletableFuture<End<Verdict>> watch(String decisionId, Deadline deadline) {
    byte[] nonce = Ids.nonce();
    WatchDecisionRequest request =
        WatchDecisionRequest.newBuilder().setDecisionId(decisionId).setNonce(ByteString.copyFrom(nonce)).build();
    Rpc rpc = new Rpc("WatchDecision", request.toByteArray(), true, null);
    Expected expected = Expected.decision(agentId, nonce, decisionId, sidecar);
    Deadline stream = deadline.within(STREAM_MS + MAX_PAUSE_MS);
    return asker
        .attempt(watching, rpc, STREAM_MS, stream, reply -> AnswerReader.read(reply, expected))
        .thenApply(
            end -> {
              stream.close();
              if (end.kind != End.Kind.DEADLINE || deadline.isPassed()) return end;
              return End.<Verdict>ofStatus(Status.DEADLINE_EXCEEDED, "the stream did not end in time", null);
            });
  }

  /** Nobody has decided, as far as is known. */
  private static Verdict unresolved(String decisionId, End.Kind stopped, End<Verdict> last) {
    if (stopped == End.Kind.CANCELLED)
      return unwatched(decisionId, Reason.DEADLINE_EXCEEDED, "the caller cancelled", null);
    if (last == null || last.answer != null || last.kind == End.Kind.LATE)
      return unwatched(decisionId, Reason.DEADLINE_EXCEEDED, "there was no answer in time", null);
    NoAnswer why = NoAnswer.of(last);
    return unwatched(decisionId, why.reason, last.problem, why.refusal);
  }

  /** Under the watched decision's id: nothing else was decided. */
  private static Verdict unwatched(String decisionId, Reason reason, String problem, Refusal refusal) {
    String message = "The review could not be waited for: " + problem + ".";
    return denied(reason, message, refusal).decisionId(decisionId).build();
  }

  private static Verdict deny(Question question, Reason reason, String message, Refusal refusal) {
    return denied(reason, message, refusal)
        .decisionId(Ids.uuid(Instant.now()))
        .tool(question.tool)
        .idempotencyKey(question.idempotencyKey)
        .build();
  }

  /** A deny of this client's own. */
  public static Verdict.Builder denied(Reason reason, String message, Refusal refusal) {
    Verdict.Builder verdict = Verdict.builder(reason, message).decisionId(Ids.uuid(Instant.now()));
    return refusal == null ? verdict : verdict.code(refusal.code).retryAfter(refusal.retryAfter);
  }

  private static String openMessage(Breaker.Permit permit) {
    long seconds = (permit.retryInMs + 999) / 1000;
    return "The circuit is open after repeated failures of the service; the next try may be in " + seconds + " s.";
  }

  /** Ends what is under way and the connections, and waits for the event loop to end its thread. */
  public void close() {
    isClosed = true;
    active.forEach(Deadline::cancel);
    transport.close();
    watching.close();
    workers.shutdown();
    group.shutdownGracefully(0, CLOSE_MS, TimeUnit.MILLISECONDS);
    try {
      Thread thread = loopThread;
      if (thread != null && thread != Thread.currentThread()) thread.join(CLOSE_MS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  /** Why there is no answer, in a guard's words. */
  private static final class NoAnswer {
    final Reason reason;
    final String message;
    /** Null unless the reason is REQUEST_REFUSED. */
    final Refusal refusal;

    private NoAnswer(Reason reason, String message, Refusal refusal) {
      this.reason = reason;
      this.message = message;
      this.refusal = refusal;
    }

    RefusalCode code() {
      return refusal == null ? null : refusal.code;
    }

    Duration retryAfter() {
      return refusal == null ? null : refusal.retryAfter;
    }

    static NoAnswer of(End<?> end) {
      switch (end.kind) {
        case MALFORMED:
          return new NoAnswer(Reason.MALFORMED_RESPONSE, "The answer was malformed: " + end.problem + ".", null);
        case UNAVAILABLE:
        case FAILED:
          return new NoAnswer(Reason.SERVICE_UNAVAILABLE, "The service failed: " + end.problem + ".", null);
        case REFUSED:
        case UNSENT:
          Refusal refusal = end.kind == End.Kind.REFUSED ? end.refusal : Refusal.NO_CREDENTIAL;
          return new NoAnswer(Reason.REQUEST_REFUSED, "The request was refused: " + end.problem + ".", refusal);
        case CANCELLED:
          return new NoAnswer(Reason.DEADLINE_EXCEEDED, "The caller cancelled before there was an answer.", null);
        default:
          return new NoAnswer(Reason.DEADLINE_EXCEEDED, "There was no answer before the deadline.", null);
      }
    }
  }
}
