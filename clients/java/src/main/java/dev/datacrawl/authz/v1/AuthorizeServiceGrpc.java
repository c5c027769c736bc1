package dev.datacrawl.authz.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * What agents call before they act.
 * Credential: `authorization: Bearer dc_agent_&lt;agent id&gt;_&lt;key id&gt;_&lt;secret&gt;` in the metadata of every call, or a JWT of
 * the issuer that the service is configured with; or, without either, a client certificate of its agents' authorities. The agent is whoever the credential says.
 * A policy deny is an OK response. Faults are statuses, with google.rpc.ErrorInfo (domain "datacrawl", a stable
 * reason) and, where waiting helps, google.rpc.RetryInfo; a caller treats every fault as a deny:
 * - UNAUTHENTICATED: no credential, or an unknown, expired or revoked one.
 * - PERMISSION_DENIED: the request names another agent than the credential.
 * - INVALID_ARGUMENT: the request is malformed; the message names the field.
 * - RESOURCE_EXHAUSTED: the agent's rate, the service's queue or the size of a message (1 MiB) is exceeded.
 * - UNAVAILABLE: the decision could not be recorded, so it is not answered.
 * - DEADLINE_EXCEEDED: the caller's deadline (5 s if it set none) had passed before there was an answer.
 * - INTERNAL: the service has a bug. google.rpc.RequestInfo has the id under which the service's log has its stack.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class AuthorizeServiceGrpc {

  private AuthorizeServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "datacrawl.authz.v1.AuthorizeService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.AuthorizeRequest,
      dev.datacrawl.authz.v1.AuthorizeResponse> getAuthorizeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Authorize",
      requestType = dev.datacrawl.authz.v1.AuthorizeRequest.class,
      responseType = dev.datacrawl.authz.v1.AuthorizeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.AuthorizeRequest,
      dev.datacrawl.authz.v1.AuthorizeResponse> getAuthorizeMethod() {
    io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.AuthorizeRequest, dev.datacrawl.authz.v1.AuthorizeResponse> getAuthorizeMethod;
    if ((getAuthorizeMethod = AuthorizeServiceGrpc.getAuthorizeMethod) == null) {
      synchronized (AuthorizeServiceGrpc.class) {
        if ((getAuthorizeMethod = AuthorizeServiceGrpc.getAuthorizeMethod) == null) {
          AuthorizeServiceGrpc.getAuthorizeMethod = getAuthorizeMethod =
              io.grpc.MethodDescriptor.<dev.datacrawl.authz.v1.AuthorizeRequest, dev.datacrawl.authz.v1.AuthorizeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Authorize"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.AuthorizeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.AuthorizeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthorizeServiceMethodDescriptorSupplier("Authorize"))
              .build();
        }
      }
    }
    return getAuthorizeMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.WatchDecisionRequest,
      dev.datacrawl.authz.v1.WatchDecisionResponse> getWatchDecisionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WatchDecision",
      requestType = dev.datacrawl.authz.v1.WatchDecisionRequest.class,
      responseType = dev.datacrawl.authz.v1.WatchDecisionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.WatchDecisionRequest,
      dev.datacrawl.authz.v1.WatchDecisionResponse> getWatchDecisionMethod() {
    io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.WatchDecisionRequest, dev.datacrawl.authz.v1.WatchDecisionResponse> getWatchDecisionMethod;
    if ((getWatchDecisionMethod = AuthorizeServiceGrpc.getWatchDecisionMethod) == null) {
      synchronized (AuthorizeServiceGrpc.class) {
        if ((getWatchDecisionMethod = AuthorizeServiceGrpc.getWatchDecisionMethod) == null) {
          AuthorizeServiceGrpc.getWatchDecisionMethod = getWatchDecisionMethod =
              io.grpc.MethodDescriptor.<dev.datacrawl.authz.v1.WatchDecisionRequest, dev.datacrawl.authz.v1.WatchDecisionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WatchDecision"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.WatchDecisionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.WatchDecisionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthorizeServiceMethodDescriptorSupplier("WatchDecision"))
              .build();
        }
      }
    }
    return getWatchDecisionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.BeginExecutionRequest,
      dev.datacrawl.authz.v1.BeginExecutionResponse> getBeginExecutionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "BeginExecution",
      requestType = dev.datacrawl.authz.v1.BeginExecutionRequest.class,
      responseType = dev.datacrawl.authz.v1.BeginExecutionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.BeginExecutionRequest,
      dev.datacrawl.authz.v1.BeginExecutionResponse> getBeginExecutionMethod() {
    io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.BeginExecutionRequest, dev.datacrawl.authz.v1.BeginExecutionResponse> getBeginExecutionMethod;
    if ((getBeginExecutionMethod = AuthorizeServiceGrpc.getBeginExecutionMethod) == null) {
      synchronized (AuthorizeServiceGrpc.class) {
        if ((getBeginExecutionMethod = AuthorizeServiceGrpc.getBeginExecutionMethod) == null) {
          AuthorizeServiceGrpc.getBeginExecutionMethod = getBeginExecutionMethod =
              io.grpc.MethodDescriptor.<dev.datacrawl.authz.v1.BeginExecutionRequest, dev.datacrawl.authz.v1.BeginExecutionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "BeginExecution"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.BeginExecutionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.BeginExecutionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthorizeServiceMethodDescriptorSupplier("BeginExecution"))
              .build();
        }
      }
    }
    return getBeginExecutionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.ReportOutcomeRequest,
      dev.datacrawl.authz.v1.ReportOutcomeResponse> getReportOutcomeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ReportOutcome",
      requestType = dev.datacrawl.authz.v1.ReportOutcomeRequest.class,
      responseType = dev.datacrawl.authz.v1.ReportOutcomeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.ReportOutcomeRequest,
      dev.datacrawl.authz.v1.ReportOutcomeResponse> getReportOutcomeMethod() {
    io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.ReportOutcomeRequest, dev.datacrawl.authz.v1.ReportOutcomeResponse> getReportOutcomeMethod;
    if ((getReportOutcomeMethod = AuthorizeServiceGrpc.getReportOutcomeMethod) == null) {
      synchronized (AuthorizeServiceGrpc.class) {
        if ((getReportOutcomeMethod = AuthorizeServiceGrpc.getReportOutcomeMethod) == null) {
          AuthorizeServiceGrpc.getReportOutcomeMethod = getReportOutcomeMethod =
              io.grpc.MethodDescriptor.<dev.datacrawl.authz.v1.ReportOutcomeRequest, dev.datacrawl.authz.v1.ReportOutcomeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ReportOutcome"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.ReportOutcomeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.ReportOutcomeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthorizeServiceMethodDescriptorSupplier("ReportOutcome"))
              .build();
        }
      }
    }
    return getReportOutcomeMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.SyncGuardRequest,
      dev.datacrawl.authz.v1.SyncGuardResponse> getSyncGuardMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SyncGuard",
      requestType = dev.datacrawl.authz.v1.SyncGuardRequest.class,
      responseType = dev.datacrawl.authz.v1.SyncGuardResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.SyncGuardRequest,
      dev.datacrawl.authz.v1.SyncGuardResponse> getSyncGuardMethod() {
    io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.SyncGuardRequest, dev.datacrawl.authz.v1.SyncGuardResponse> getSyncGuardMethod;
    if ((getSyncGuardMethod = AuthorizeServiceGrpc.getSyncGuardMethod) == null) {
      synchronized (AuthorizeServiceGrpc.class) {
        if ((getSyncGuardMethod = AuthorizeServiceGrpc.getSyncGuardMethod) == null) {
          AuthorizeServiceGrpc.getSyncGuardMethod = getSyncGuardMethod =
              io.grpc.MethodDescriptor.<dev.datacrawl.authz.v1.SyncGuardRequest, dev.datacrawl.authz.v1.SyncGuardResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SyncGuard"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.SyncGuardRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.SyncGuardResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthorizeServiceMethodDescriptorSupplier("SyncGuard"))
              .build();
        }
      }
    }
    return getSyncGuardMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.ListCallableToolsRequest,
      dev.datacrawl.authz.v1.ListCallableToolsResponse> getListCallableToolsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListCallableTools",
      requestType = dev.datacrawl.authz.v1.ListCallableToolsRequest.class,
      responseType = dev.datacrawl.authz.v1.ListCallableToolsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.ListCallableToolsRequest,
      dev.datacrawl.authz.v1.ListCallableToolsResponse> getListCallableToolsMethod() {
    io.grpc.MethodDescriptor<dev.datacrawl.authz.v1.ListCallableToolsRequest, dev.datacrawl.authz.v1.ListCallableToolsResponse> getListCallableToolsMethod;
    if ((getListCallableToolsMethod = AuthorizeServiceGrpc.getListCallableToolsMethod) == null) {
      synchronized (AuthorizeServiceGrpc.class) {
        if ((getListCallableToolsMethod = AuthorizeServiceGrpc.getListCallableToolsMethod) == null) {
          AuthorizeServiceGrpc.getListCallableToolsMethod = getListCallableToolsMethod =
              io.grpc.MethodDescriptor.<dev.datacrawl.authz.v1.ListCallableToolsRequest, dev.datacrawl.authz.v1.ListCallableToolsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListCallableTools"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.ListCallableToolsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.datacrawl.authz.v1.ListCallableToolsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AuthorizeServiceMethodDescriptorSupplier("ListCallableTools"))
              .build();
        }
      }
    }
    return getListCallableToolsMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static AuthorizeServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AuthorizeServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AuthorizeServiceStub>() {
        @java.lang.Override
        public AuthorizeServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AuthorizeServiceStub(channel, callOptions);
        }
      };
    return AuthorizeServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static AuthorizeServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AuthorizeServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AuthorizeServiceBlockingV2Stub>() {
        @java.lang.Override
        public AuthorizeServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AuthorizeServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return AuthorizeServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static AuthorizeServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AuthorizeServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AuthorizeServiceBlockingStub>() {
        @java.lang.Override
        public AuthorizeServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AuthorizeServiceBlockingStub(channel, callOptions);
        }
      };
    return AuthorizeServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static AuthorizeServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AuthorizeServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AuthorizeServiceFutureStub>() {
        @java.lang.Override
        public AuthorizeServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AuthorizeServiceFutureStub(channel, callOptions);
        }
      };
    return AuthorizeServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * What agents call before they act.
   * Credential: `authorization: Bearer dc_agent_&lt;agent id&gt;_&lt;key id&gt;_&lt;secret&gt;` in the metadata of every call, or a JWT of
   * the issuer that the service is configured with; or, without either, a client certificate of its agents' authorities. The agent is whoever the credential says.
   * A policy deny is an OK response. Faults are statuses, with google.rpc.ErrorInfo (domain "datacrawl", a stable
   * reason) and, where waiting helps, google.rpc.RetryInfo; a caller treats every fault as a deny:
   * - UNAUTHENTICATED: no credential, or an unknown, expired or revoked one.
   * - PERMISSION_DENIED: the request names another agent than the credential.
   * - INVALID_ARGUMENT: the request is malformed; the message names the field.
   * - RESOURCE_EXHAUSTED: the agent's rate, the service's queue or the size of a message (1 MiB) is exceeded.
   * - UNAVAILABLE: the decision could not be recorded, so it is not answered.
   * - DEADLINE_EXCEEDED: the caller's deadline (5 s if it set none) had passed before there was an answer.
   * - INTERNAL: the service has a bug. google.rpc.RequestInfo has the id under which the service's log has its stack.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Decides whether the agent may call a tool with a payload. The decision is committed to the audit trail before it
     * is answered. It writes, so it is not free of side effects; it is idempotent by key: for 24 hours the same agent,
     * key and request get the same decision under the same decision_id.
     * </pre>
     */
    default void authorize(dev.datacrawl.authz.v1.AuthorizeRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.AuthorizeResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getAuthorizeMethod(), responseObserver);
    }

    /**
     * <pre>
     * Streams the current answer to one of the agent's decisions and, while that is NEEDS_REVIEW, its resolution once there is
     * one; then the stream ends. It also ends, with OK, shortly before the caller's deadline and after an hour: what came last is
     * then still the answer, and the caller may watch again. An answer is committed to the audit trail before it is streamed.
     * NOT_FOUND if there is no such decision of this agent, or its key has been free again since. RESOURCE_EXHAUSTED if the
     * agent, or all agents, watch too many decisions at once.
     * </pre>
     */
    default void watchDecision(dev.datacrawl.authz.v1.WatchDecisionRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.WatchDecisionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getWatchDecisionMethod(), responseObserver);
    }

    /**
     * <pre>
     * Starts an allowed decision, once. The start is committed to the audit trail before it is answered, and only
     * EXECUTION_STATE_STARTED permits the caller to run the tool. A retry with the same nonce, after an answer was lost, gets the
     * same start again, unless the agent was frozen or the approval ended since. Every other start of the decision, now or later,
     * is answered EXECUTION_STATE_ALREADY_STARTED. A refusal is an OK response, and is recorded, too.
     * </pre>
     */
    default void beginExecution(dev.datacrawl.authz.v1.BeginExecutionRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.BeginExecutionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getBeginExecutionMethod(), responseObserver);
    }

    /**
     * <pre>
     * Records how a started execution ended, once. The same report again is harmless. FAILED_PRECONDITION (OUTCOME_CONTRADICTED) if
     * another outcome, or other facts about it, are on record, and the attempt is recorded. NOT_FOUND (EXECUTION_UNKNOWN) if the
     * agent has no such execution. A frozen agent may still report, and reports are taken while the service is in recovery.
     * </pre>
     */
    default void reportOutcome(dev.datacrawl.authz.v1.ReportOutcomeRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.ReportOutcomeResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getReportOutcomeMethod(), responseObserver);
    }

    /**
     * <pre>
     * What a guard and the service tell each other while all is well, every few seconds: the guard uploads what it decided
     * alone and reports its circuit; the service answers with the agent's circuit-bypass grants. A frozen agent may still
     * sync. Repeating a call is harmless: each record is recorded once, by its hash.
     * </pre>
     */
    default void syncGuard(dev.datacrawl.authz.v1.SyncGuardRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.SyncGuardResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSyncGuardMethod(), responseObserver);
    }

    /**
     * <pre>
     * Of the tools asked about, those that the policy does not deny to this agent whatever the payload and the principal: for
     * lists that a model chooses from. It decides nothing and records nothing, and its answer allows nothing: each call is
     * authorized by Authorize. Refused while the service is in recovery.
     * </pre>
     */
    default void listCallableTools(dev.datacrawl.authz.v1.ListCallableToolsRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.ListCallableToolsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListCallableToolsMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service AuthorizeService.
   * <pre>
   * What agents call before they act.
   * Credential: `authorization: Bearer dc_agent_&lt;agent id&gt;_&lt;key id&gt;_&lt;secret&gt;` in the metadata of every call, or a JWT of
   * the issuer that the service is configured with; or, without either, a client certificate of its agents' authorities. The agent is whoever the credential says.
   * A policy deny is an OK response. Faults are statuses, with google.rpc.ErrorInfo (domain "datacrawl", a stable
   * reason) and, where waiting helps, google.rpc.RetryInfo; a caller treats every fault as a deny:
   * - UNAUTHENTICATED: no credential, or an unknown, expired or revoked one.
   * - PERMISSION_DENIED: the request names another agent than the credential.
   * - INVALID_ARGUMENT: the request is malformed; the message names the field.
   * - RESOURCE_EXHAUSTED: the agent's rate, the service's queue or the size of a message (1 MiB) is exceeded.
   * - UNAVAILABLE: the decision could not be recorded, so it is not answered.
   * - DEADLINE_EXCEEDED: the caller's deadline (5 s if it set none) had passed before there was an answer.
   * - INTERNAL: the service has a bug. google.rpc.RequestInfo has the id under which the service's log has its stack.
   * </pre>
   */
  public static abstract class AuthorizeServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return AuthorizeServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service AuthorizeService.
   * <pre>
   * What agents call before they act.
   * Credential: `authorization: Bearer dc_agent_&lt;agent id&gt;_&lt;key id&gt;_&lt;secret&gt;` in the metadata of every call, or a JWT of
   * the issuer that the service is configured with; or, without either, a client certificate of its agents' authorities. The agent is whoever the credential says.
   * A policy deny is an OK response. Faults are statuses, with google.rpc.ErrorInfo (domain "datacrawl", a stable
   * reason) and, where waiting helps, google.rpc.RetryInfo; a caller treats every fault as a deny:
   * - UNAUTHENTICATED: no credential, or an unknown, expired or revoked one.
   * - PERMISSION_DENIED: the request names another agent than the credential.
   * - INVALID_ARGUMENT: the request is malformed; the message names the field.
   * - RESOURCE_EXHAUSTED: the agent's rate, the service's queue or the size of a message (1 MiB) is exceeded.
   * - UNAVAILABLE: the decision could not be recorded, so it is not answered.
   * - DEADLINE_EXCEEDED: the caller's deadline (5 s if it set none) had passed before there was an answer.
   * - INTERNAL: the service has a bug. google.rpc.RequestInfo has the id under which the service's log has its stack.
   * </pre>
   */
  public static final class AuthorizeServiceStub
      extends io.grpc.stub.AbstractAsyncStub<AuthorizeServiceStub> {
    private AuthorizeServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AuthorizeServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AuthorizeServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Decides whether the agent may call a tool with a payload. The decision is committed to the audit trail before it
     * is answered. It writes, so it is not free of side effects; it is idempotent by key: for 24 hours the same agent,
     * key and request get the same decision under the same decision_id.
     * </pre>
     */
    public void authorize(dev.datacrawl.authz.v1.AuthorizeRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.AuthorizeResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getAuthorizeMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Streams the current answer to one of the agent's decisions and, while that is NEEDS_REVIEW, its resolution once there is
     * one; then the stream ends. It also ends, with OK, shortly before the caller's deadline and after an hour: what came last is
     * then still the answer, and the caller may watch again. An answer is committed to the audit trail before it is streamed.
     * NOT_FOUND if there is no such decision of this agent, or its key has been free again since. RESOURCE_EXHAUSTED if the
     * agent, or all agents, watch too many decisions at once.
     * </pre>
     */
    public void watchDecision(dev.datacrawl.authz.v1.WatchDecisionRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.WatchDecisionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getWatchDecisionMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Starts an allowed decision, once. The start is committed to the audit trail before it is answered, and only
     * EXECUTION_STATE_STARTED permits the caller to run the tool. A retry with the same nonce, after an answer was lost, gets the
     * same start again, unless the agent was frozen or the approval ended since. Every other start of the decision, now or later,
     * is answered EXECUTION_STATE_ALREADY_STARTED. A refusal is an OK response, and is recorded, too.
     * </pre>
     */
    public void beginExecution(dev.datacrawl.authz.v1.BeginExecutionRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.BeginExecutionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getBeginExecutionMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Records how a started execution ended, once. The same report again is harmless. FAILED_PRECONDITION (OUTCOME_CONTRADICTED) if
     * another outcome, or other facts about it, are on record, and the attempt is recorded. NOT_FOUND (EXECUTION_UNKNOWN) if the
     * agent has no such execution. A frozen agent may still report, and reports are taken while the service is in recovery.
     * </pre>
     */
    public void reportOutcome(dev.datacrawl.authz.v1.ReportOutcomeRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.ReportOutcomeResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getReportOutcomeMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * What a guard and the service tell each other while all is well, every few seconds: the guard uploads what it decided
     * alone and reports its circuit; the service answers with the agent's circuit-bypass grants. A frozen agent may still
     * sync. Repeating a call is harmless: each record is recorded once, by its hash.
     * </pre>
     */
    public void syncGuard(dev.datacrawl.authz.v1.SyncGuardRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.SyncGuardResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getSyncGuardMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Of the tools asked about, those that the policy does not deny to this agent whatever the payload and the principal: for
     * lists that a model chooses from. It decides nothing and records nothing, and its answer allows nothing: each call is
     * authorized by Authorize. Refused while the service is in recovery.
     * </pre>
     */
    public void listCallableTools(dev.datacrawl.authz.v1.ListCallableToolsRequest request,
        io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.ListCallableToolsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListCallableToolsMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service AuthorizeService.
   * <pre>
   * What agents call before they act.
   * Credential: `authorization: Bearer dc_agent_&lt;agent id&gt;_&lt;key id&gt;_&lt;secret&gt;` in the metadata of every call, or a JWT of
   * the issuer that the service is configured with; or, without either, a client certificate of its agents' authorities. The agent is whoever the credential says.
   * A policy deny is an OK response. Faults are statuses, with google.rpc.ErrorInfo (domain "datacrawl", a stable
   * reason) and, where waiting helps, google.rpc.RetryInfo; a caller treats every fault as a deny:
   * - UNAUTHENTICATED: no credential, or an unknown, expired or revoked one.
   * - PERMISSION_DENIED: the request names another agent than the credential.
   * - INVALID_ARGUMENT: the request is malformed; the message names the field.
   * - RESOURCE_EXHAUSTED: the agent's rate, the service's queue or the size of a message (1 MiB) is exceeded.
   * - UNAVAILABLE: the decision could not be recorded, so it is not answered.
   * - DEADLINE_EXCEEDED: the caller's deadline (5 s if it set none) had passed before there was an answer.
   * - INTERNAL: the service has a bug. google.rpc.RequestInfo has the id under which the service's log has its stack.
   * </pre>
   */
  public static final class AuthorizeServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<AuthorizeServiceBlockingV2Stub> {
    private AuthorizeServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AuthorizeServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AuthorizeServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Decides whether the agent may call a tool with a payload. The decision is committed to the audit trail before it
     * is answered. It writes, so it is not free of side effects; it is idempotent by key: for 24 hours the same agent,
     * key and request get the same decision under the same decision_id.
     * </pre>
     */
    public dev.datacrawl.authz.v1.AuthorizeResponse authorize(dev.datacrawl.authz.v1.AuthorizeRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getAuthorizeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Streams the current answer to one of the agent's decisions and, while that is NEEDS_REVIEW, its resolution once there is
     * one; then the stream ends. It also ends, with OK, shortly before the caller's deadline and after an hour: what came last is
     * then still the answer, and the caller may watch again. An answer is committed to the audit trail before it is streamed.
     * NOT_FOUND if there is no such decision of this agent, or its key has been free again since. RESOURCE_EXHAUSTED if the
     * agent, or all agents, watch too many decisions at once.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.datacrawl.authz.v1.WatchDecisionResponse>
        watchDecision(dev.datacrawl.authz.v1.WatchDecisionRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getWatchDecisionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Starts an allowed decision, once. The start is committed to the audit trail before it is answered, and only
     * EXECUTION_STATE_STARTED permits the caller to run the tool. A retry with the same nonce, after an answer was lost, gets the
     * same start again, unless the agent was frozen or the approval ended since. Every other start of the decision, now or later,
     * is answered EXECUTION_STATE_ALREADY_STARTED. A refusal is an OK response, and is recorded, too.
     * </pre>
     */
    public dev.datacrawl.authz.v1.BeginExecutionResponse beginExecution(dev.datacrawl.authz.v1.BeginExecutionRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getBeginExecutionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Records how a started execution ended, once. The same report again is harmless. FAILED_PRECONDITION (OUTCOME_CONTRADICTED) if
     * another outcome, or other facts about it, are on record, and the attempt is recorded. NOT_FOUND (EXECUTION_UNKNOWN) if the
     * agent has no such execution. A frozen agent may still report, and reports are taken while the service is in recovery.
     * </pre>
     */
    public dev.datacrawl.authz.v1.ReportOutcomeResponse reportOutcome(dev.datacrawl.authz.v1.ReportOutcomeRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getReportOutcomeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * What a guard and the service tell each other while all is well, every few seconds: the guard uploads what it decided
     * alone and reports its circuit; the service answers with the agent's circuit-bypass grants. A frozen agent may still
     * sync. Repeating a call is harmless: each record is recorded once, by its hash.
     * </pre>
     */
    public dev.datacrawl.authz.v1.SyncGuardResponse syncGuard(dev.datacrawl.authz.v1.SyncGuardRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getSyncGuardMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Of the tools asked about, those that the policy does not deny to this agent whatever the payload and the principal: for
     * lists that a model chooses from. It decides nothing and records nothing, and its answer allows nothing: each call is
     * authorized by Authorize. Refused while the service is in recovery.
     * </pre>
     */
    public dev.datacrawl.authz.v1.ListCallableToolsResponse listCallableTools(dev.datacrawl.authz.v1.ListCallableToolsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListCallableToolsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service AuthorizeService.
   * <pre>
   * What agents call before they act.
   * Credential: `authorization: Bearer dc_agent_&lt;agent id&gt;_&lt;key id&gt;_&lt;secret&gt;` in the metadata of every call, or a JWT of
   * the issuer that the service is configured with; or, without either, a client certificate of its agents' authorities. The agent is whoever the credential says.
   * A policy deny is an OK response. Faults are statuses, with google.rpc.ErrorInfo (domain "datacrawl", a stable
   * reason) and, where waiting helps, google.rpc.RetryInfo; a caller treats every fault as a deny:
   * - UNAUTHENTICATED: no credential, or an unknown, expired or revoked one.
   * - PERMISSION_DENIED: the request names another agent than the credential.
   * - INVALID_ARGUMENT: the request is malformed; the message names the field.
   * - RESOURCE_EXHAUSTED: the agent's rate, the service's queue or the size of a message (1 MiB) is exceeded.
   * - UNAVAILABLE: the decision could not be recorded, so it is not answered.
   * - DEADLINE_EXCEEDED: the caller's deadline (5 s if it set none) had passed before there was an answer.
   * - INTERNAL: the service has a bug. google.rpc.RequestInfo has the id under which the service's log has its stack.
   * </pre>
   */
  public static final class AuthorizeServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<AuthorizeServiceBlockingStub> {
    private AuthorizeServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AuthorizeServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AuthorizeServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Decides whether the agent may call a tool with a payload. The decision is committed to the audit trail before it
     * is answered. It writes, so it is not free of side effects; it is idempotent by key: for 24 hours the same agent,
     * key and request get the same decision under the same decision_id.
     * </pre>
     */
    public dev.datacrawl.authz.v1.AuthorizeResponse authorize(dev.datacrawl.authz.v1.AuthorizeRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getAuthorizeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Streams the current answer to one of the agent's decisions and, while that is NEEDS_REVIEW, its resolution once there is
     * one; then the stream ends. It also ends, with OK, shortly before the caller's deadline and after an hour: what came last is
     * then still the answer, and the caller may watch again. An answer is committed to the audit trail before it is streamed.
     * NOT_FOUND if there is no such decision of this agent, or its key has been free again since. RESOURCE_EXHAUSTED if the
     * agent, or all agents, watch too many decisions at once.
     * </pre>
     */
    public java.util.Iterator<dev.datacrawl.authz.v1.WatchDecisionResponse> watchDecision(
        dev.datacrawl.authz.v1.WatchDecisionRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getWatchDecisionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Starts an allowed decision, once. The start is committed to the audit trail before it is answered, and only
     * EXECUTION_STATE_STARTED permits the caller to run the tool. A retry with the same nonce, after an answer was lost, gets the
     * same start again, unless the agent was frozen or the approval ended since. Every other start of the decision, now or later,
     * is answered EXECUTION_STATE_ALREADY_STARTED. A refusal is an OK response, and is recorded, too.
     * </pre>
     */
    public dev.datacrawl.authz.v1.BeginExecutionResponse beginExecution(dev.datacrawl.authz.v1.BeginExecutionRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getBeginExecutionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Records how a started execution ended, once. The same report again is harmless. FAILED_PRECONDITION (OUTCOME_CONTRADICTED) if
     * another outcome, or other facts about it, are on record, and the attempt is recorded. NOT_FOUND (EXECUTION_UNKNOWN) if the
     * agent has no such execution. A frozen agent may still report, and reports are taken while the service is in recovery.
     * </pre>
     */
    public dev.datacrawl.authz.v1.ReportOutcomeResponse reportOutcome(dev.datacrawl.authz.v1.ReportOutcomeRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getReportOutcomeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * What a guard and the service tell each other while all is well, every few seconds: the guard uploads what it decided
     * alone and reports its circuit; the service answers with the agent's circuit-bypass grants. A frozen agent may still
     * sync. Repeating a call is harmless: each record is recorded once, by its hash.
     * </pre>
     */
    public dev.datacrawl.authz.v1.SyncGuardResponse syncGuard(dev.datacrawl.authz.v1.SyncGuardRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getSyncGuardMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Of the tools asked about, those that the policy does not deny to this agent whatever the payload and the principal: for
     * lists that a model chooses from. It decides nothing and records nothing, and its answer allows nothing: each call is
     * authorized by Authorize. Refused while the service is in recovery.
     * </pre>
     */
    public dev.datacrawl.authz.v1.ListCallableToolsResponse listCallableTools(dev.datacrawl.authz.v1.ListCallableToolsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListCallableToolsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service AuthorizeService.
   * <pre>
   * What agents call before they act.
   * Credential: `authorization: Bearer dc_agent_&lt;agent id&gt;_&lt;key id&gt;_&lt;secret&gt;` in the metadata of every call, or a JWT of
   * the issuer that the service is configured with; or, without either, a client certificate of its agents' authorities. The agent is whoever the credential says.
   * A policy deny is an OK response. Faults are statuses, with google.rpc.ErrorInfo (domain "datacrawl", a stable
   * reason) and, where waiting helps, google.rpc.RetryInfo; a caller treats every fault as a deny:
   * - UNAUTHENTICATED: no credential, or an unknown, expired or revoked one.
   * - PERMISSION_DENIED: the request names another agent than the credential.
   * - INVALID_ARGUMENT: the request is malformed; the message names the field.
   * - RESOURCE_EXHAUSTED: the agent's rate, the service's queue or the size of a message (1 MiB) is exceeded.
   * - UNAVAILABLE: the decision could not be recorded, so it is not answered.
   * - DEADLINE_EXCEEDED: the caller's deadline (5 s if it set none) had passed before there was an answer.
   * - INTERNAL: the service has a bug. google.rpc.RequestInfo has the id under which the service's log has its stack.
   * </pre>
   */
  public static final class AuthorizeServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<AuthorizeServiceFutureStub> {
    private AuthorizeServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AuthorizeServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AuthorizeServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Decides whether the agent may call a tool with a payload. The decision is committed to the audit trail before it
     * is answered. It writes, so it is not free of side effects; it is idempotent by key: for 24 hours the same agent,
     * key and request get the same decision under the same decision_id.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.datacrawl.authz.v1.AuthorizeResponse> authorize(
        dev.datacrawl.authz.v1.AuthorizeRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getAuthorizeMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Starts an allowed decision, once. The start is committed to the audit trail before it is answered, and only
     * EXECUTION_STATE_STARTED permits the caller to run the tool. A retry with the same nonce, after an answer was lost, gets the
     * same start again, unless the agent was frozen or the approval ended since. Every other start of the decision, now or later,
     * is answered EXECUTION_STATE_ALREADY_STARTED. A refusal is an OK response, and is recorded, too.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.datacrawl.authz.v1.BeginExecutionResponse> beginExecution(
        dev.datacrawl.authz.v1.BeginExecutionRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getBeginExecutionMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Records how a started execution ended, once. The same report again is harmless. FAILED_PRECONDITION (OUTCOME_CONTRADICTED) if
     * another outcome, or other facts about it, are on record, and the attempt is recorded. NOT_FOUND (EXECUTION_UNKNOWN) if the
     * agent has no such execution. A frozen agent may still report, and reports are taken while the service is in recovery.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.datacrawl.authz.v1.ReportOutcomeResponse> reportOutcome(
        dev.datacrawl.authz.v1.ReportOutcomeRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getReportOutcomeMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * What a guard and the service tell each other while all is well, every few seconds: the guard uploads what it decided
     * alone and reports its circuit; the service answers with the agent's circuit-bypass grants. A frozen agent may still
     * sync. Repeating a call is harmless: each record is recorded once, by its hash.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.datacrawl.authz.v1.SyncGuardResponse> syncGuard(
        dev.datacrawl.authz.v1.SyncGuardRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getSyncGuardMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Of the tools asked about, those that the policy does not deny to this agent whatever the payload and the principal: for
     * lists that a model chooses from. It decides nothing and records nothing, and its answer allows nothing: each call is
     * authorized by Authorize. Refused while the service is in recovery.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.datacrawl.authz.v1.ListCallableToolsResponse> listCallableTools(
        dev.datacrawl.authz.v1.ListCallableToolsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListCallableToolsMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_AUTHORIZE = 0;
  private static final int METHODID_WATCH_DECISION = 1;
  private static final int METHODID_BEGIN_EXECUTION = 2;
  private static final int METHODID_REPORT_OUTCOME = 3;
  private static final int METHODID_SYNC_GUARD = 4;
  private static final int METHODID_LIST_CALLABLE_TOOLS = 5;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_AUTHORIZE:
          serviceImpl.authorize((dev.datacrawl.authz.v1.AuthorizeRequest) request,
              (io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.AuthorizeResponse>) responseObserver);
          break;
        case METHODID_WATCH_DECISION:
          serviceImpl.watchDecision((dev.datacrawl.authz.v1.WatchDecisionRequest) request,
              (io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.WatchDecisionResponse>) responseObserver);
          break;
        case METHODID_BEGIN_EXECUTION:
          serviceImpl.beginExecution((dev.datacrawl.authz.v1.BeginExecutionRequest) request,
              (io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.BeginExecutionResponse>) responseObserver);
          break;
        case METHODID_REPORT_OUTCOME:
          serviceImpl.reportOutcome((dev.datacrawl.authz.v1.ReportOutcomeRequest) request,
              (io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.ReportOutcomeResponse>) responseObserver);
          break;
        case METHODID_SYNC_GUARD:
          serviceImpl.syncGuard((dev.datacrawl.authz.v1.SyncGuardRequest) request,
              (io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.SyncGuardResponse>) responseObserver);
          break;
        case METHODID_LIST_CALLABLE_TOOLS:
          serviceImpl.listCallableTools((dev.datacrawl.authz.v1.ListCallableToolsRequest) request,
              (io.grpc.stub.StreamObserver<dev.datacrawl.authz.v1.ListCallableToolsResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getAuthorizeMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.datacrawl.authz.v1.AuthorizeRequest,
              dev.datacrawl.authz.v1.AuthorizeResponse>(
                service, METHODID_AUTHORIZE)))
        .addMethod(
          getWatchDecisionMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.datacrawl.authz.v1.WatchDecisionRequest,
              dev.datacrawl.authz.v1.WatchDecisionResponse>(
                service, METHODID_WATCH_DECISION)))
        .addMethod(
          getBeginExecutionMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.datacrawl.authz.v1.BeginExecutionRequest,
              dev.datacrawl.authz.v1.BeginExecutionResponse>(
                service, METHODID_BEGIN_EXECUTION)))
        .addMethod(
          getReportOutcomeMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.datacrawl.authz.v1.ReportOutcomeRequest,
              dev.datacrawl.authz.v1.ReportOutcomeResponse>(
                service, METHODID_REPORT_OUTCOME)))
        .addMethod(
          getSyncGuardMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.datacrawl.authz.v1.SyncGuardRequest,
              dev.datacrawl.authz.v1.SyncGuardResponse>(
                service, METHODID_SYNC_GUARD)))
        .addMethod(
          getListCallableToolsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.datacrawl.authz.v1.ListCallableToolsRequest,
              dev.datacrawl.authz.v1.ListCallableToolsResponse>(
                service, METHODID_LIST_CALLABLE_TOOLS)))
        .build();
  }

  private static abstract class AuthorizeServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    AuthorizeServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.datacrawl.authz.v1.AuthorizeServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("AuthorizeService");
    }
  }

  private static final class AuthorizeServiceFileDescriptorSupplier
      extends AuthorizeServiceBaseDescriptorSupplier {
    AuthorizeServiceFileDescriptorSupplier() {}
  }

  private static final class AuthorizeServiceMethodDescriptorSupplier
      extends AuthorizeServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    AuthorizeServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (AuthorizeServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new AuthorizeServiceFileDescriptorSupplier())
              .addMethod(getAuthorizeMethod())
              .addMethod(getWatchDecisionMethod())
              .addMethod(getBeginExecutionMethod())
              .addMethod(getReportOutcomeMethod())
              .addMethod(getSyncGuardMethod())
              .addMethod(getListCallableToolsMethod())
              .build();
        }
      }
    }
    return result;
  }
}
