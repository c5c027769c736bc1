package dev.datacrawl;

import com.google.protobuf.Timestamp;
import dev.datacrawl.authz.v1.AuthorizeRequest;
import dev.datacrawl.authz.v1.AuthorizeResponse;
import dev.datacrawl.authz.v1.AuthorizeServiceGrpc;
import dev.datacrawl.authz.v1.BeginExecutionRequest;
import dev.datacrawl.authz.v1.BeginExecutionResponse;
import dev.datacrawl.authz.v1.ExecutionState;
import dev.datacrawl.authz.v1.ReportOutcomeRequest;
import dev.datacrawl.authz.v1.ReportOutcomeResponse;
import dev.datacrawl.authz.v1.WatchDecisionRequest;
import dev.datacrawl.authz.v1.WatchDecisionResponse;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.Server;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.BiConsumer;

/** A service on grpc-java whose answers a test writes. Allows by default. */
public final class ScriptedService extends AuthorizeServiceGrpc.AuthorizeServiceImplBase implements AutoCloseable {
  public static final String KEY = "dc_agent_demo_0123456789ab_" + "0".repeat(64);
  public static final String DECISION = "0195e0b2-7a3b-7c1d-8a2b-1234567890ab";
  public static final String EXECUTION = "0195e0b2-7a3b-7c1d-8a2b-1234567890ac";

  public final List<AuthorizeRequest> asked = Collections.synchronizedList(new ArrayList<>());
  public final List<BeginExecutionRequest> begun = Collections.synchronizedList(new ArrayList<>());
  public final List<ReportOutcomeRequest> reported = Collections.synchronizedList(new ArrayList<>());
  public final List<Metadata> metadata = Collections.synchronizedList(new ArrayList<>());
  public volatile BiConsumer<AuthorizeRequest, StreamObserver<AuthorizeResponse>> authorize =
      (request, out) -> answer(out, allow(request).build());
  public volatile BiConsumer<BeginExecutionRequest, StreamObserver<BeginExecutionResponse>> begin =
      (request, out) -> answer(out, started(request).build());
  public volatile BiConsumer<WatchDecisionRequest, StreamObserver<WatchDecisionResponse>> watch =
      (request, out) -> out.onError(io.grpc.Status.NOT_FOUND.asRuntimeException());
  private final Server server;

  public ScriptedService() throws IOException {
    server =
        NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
            .addService(this)
            .intercept(
                new ServerInterceptor() {
                  @Override
                  public <Q, A> ServerCall.Listener<Q> interceptCall(
                      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
                    metadata.add(headers);
                    return Contexts.interceptCall(Context.current(), call, headers, next);
                  }
                })
            .build()
            .start();
  }

  public String url() {
    return "http://127.0.0.1:" + server.getPort();
  }

  public String address() {
    return "127.0.0.1:" + server.getPort();
  }

  public DataCrawl.Builder client() {
    return patient().url(url()).apiKey(KEY);
  }

  /** A client whose calls end by themselves, however slow the machine is. */
  public static DataCrawl.Builder patient() {
    return DataCrawl.builder().timeout(Duration.ofSeconds(60));
  }

  public static <T> void answer(StreamObserver<T> out, T answer) {
    out.onNext(answer);
    out.onCompleted();
  }

  public static AuthorizeResponse.Builder allow(AuthorizeRequest request) {
    return AuthorizeResponse.newBuilder()
        .setReasonValue(1)
        .setMessage("The rule allows.")
        .setDecisionId(DECISION)
        .setPolicyVersion("sha256:" + "0".repeat(64))
        .setDecidedAt(Timestamp.newBuilder().setSeconds(1_800_000_000).setNanos(123_456_000))
        .setRuleId("a-rule")
        .setAgentId("demo")
        .setTool(request.getTool())
        .setIdempotencyKey(request.getIdempotencyKey())
        .setNonce(request.getNonce())
        .setSourceValue(1)
        .setDecisionValue(1);
  }

  public static BeginExecutionResponse.Builder started(BeginExecutionRequest request) {
    return BeginExecutionResponse.newBuilder()
        .setDecisionId(request.getDecisionId())
        .setNonce(request.getNonce())
        .setAgentId("demo")
        .setExecutionId(EXECUTION)
        .setStartedAt(Timestamp.newBuilder().setSeconds(1_800_000_000))
        .setReportDueAt(Timestamp.newBuilder().setSeconds(1_800_000_900))
        .setStartedBy("0123456789ab")
        .setSourceValue(1)
        .setState(ExecutionState.EXECUTION_STATE_STARTED);
  }

  public static WatchDecisionResponse.Builder watched(WatchDecisionRequest request, int reason, int decision) {
    return WatchDecisionResponse.newBuilder()
        .setReasonValue(reason)
        .setDecisionId(request.getDecisionId())
        .setReplayed(true)
        .setAgentId("demo")
        .setTool("bank.wire")
        .setIdempotencyKey("wire-1")
        .setNonce(request.getNonce())
        .setSourceValue(1)
        .setDecisionValue(decision);
  }

  @Override
  public void authorize(AuthorizeRequest request, StreamObserver<AuthorizeResponse> out) {
    asked.add(request);
    authorize.accept(request, out);
  }

  @Override
  public void beginExecution(BeginExecutionRequest request, StreamObserver<BeginExecutionResponse> out) {
    begun.add(request);
    begin.accept(request, out);
  }

  @Override
  public void reportOutcome(ReportOutcomeRequest request, StreamObserver<ReportOutcomeResponse> out) {
    reported.add(request);
    answer(
        out,
        ReportOutcomeResponse.newBuilder()
            .setDecisionId(request.getDecisionId())
            .setExecutionId(request.getExecutionId())
            .setOutcome(request.getOutcome())
            .setEndedAt(Timestamp.newBuilder().setSeconds(1_800_000_001))
            .build());
  }

  @Override
  public void watchDecision(WatchDecisionRequest request, StreamObserver<WatchDecisionResponse> out) {
    watch.accept(request, out);
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
