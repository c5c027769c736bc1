import { setTimeout as sleep } from "node:timers/promises";
import { create, type DescMessage, type DescMethod, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import {
  AuthorizeService,
  ListCallableToolsRequestSchema,
  ListCallableToolsResponseSchema,
  SyncGuardRequestSchema,
  SyncGuardResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import {
  ReportOutcomeRequestSchema,
  ReportOutcomeResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { WatchDecisionRequestSchema } from "@datacrawl/proto/datacrawl/authz/v1/watch_pb";
import type { Call, UnverifiedWatch } from "../../authorize/call.ts";
import type { Address } from "../../config.ts";
import { Fault } from "../../core/fault.ts";
import { encodeAnswer } from "../codec/answer.ts";
import { decodeBeginRequest, encodeBegin } from "../codec/begin.ts";
import { reportFields, reportOf } from "../codec/execution.ts";
import { expired, incompleteBodies } from "../limits/bodies.ts";
import { openTcpListener } from "./tcp-listener.ts";
import { checkStreams } from "./streams.ts";
import { type GrpcMethod, serveUnary, type UnaryMethod, type UnaryPorts } from "./unary.ts";
import type { Readiness } from "../lifecycle/health.ts";
import { LIMITS } from "../limits/limits.ts";
import type { Listener } from "../listen.ts";
import { decodeBinary } from "../codec/messages.ts";
import { reflection } from "./reflection.ts";
import { RequestRules } from "../limits/request-rules.ts";
import type { ListenerPorts, AgentHandlers } from "../handlers.ts";
import { grpcStatus } from "../codec/status.ts";
import { OpenStreams } from "../limits/streams.ts";
import type { ListenerTls } from "../tls.ts";
import { syncOf, syncResponse } from "../codec/sync-guard.ts";
import { decodeAuthorizeRequest } from "../codec/wire.ts";

export interface GrpcOptions extends ListenerPorts {
  readonly address: Address;
  readonly tls: ListenerTls | null;
  readonly readiness: Readiness;
  /** See {@link RequestRules}. */
  readonly allowedHosts?: readonly string[];
}

type BaseCall = Parameters<grpc.ServerInterceptor>[1];

/**
 * Serves AuthorizeService, grpc.health.v1 and reflection over native gRPC.
 *
 * @throws UsageError if the address cannot be listened on
 */
export function openGrpc({ handlers, clock, observer, ...where }: GrpcOptions): Promise<Listener> {
  const ports = { clock, observer, bodies: incompleteBodies(), streams: new OpenStreams() };
  return openGrpcMethods(methodsOf(handlers), ports, where);
}

/** The same for other methods, by path. @throws UsageError */
export async function openGrpcMethods(
  methods: ReadonlyMap<string, GrpcMethod>,
  ports: UnaryPorts,
  options: Pick<GrpcOptions, "address" | "tls" | "readiness" | "allowedHosts">,
): Promise<Listener> {
  // It would log headers that it cannot parse, with their values: credentials among them.
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  const watchers = new Set<BaseCall>();
  const server = createServer(methods, ports, watchers);
  const unsubscribe = serveHealth(server, options.readiness);
  reflection().addToServer(server);
  const { address, tls, allowedHosts = [] } = options;
  checkStreams(server, {
    rules: new RequestRules({ address, encrypted: tls !== null, allowedHosts }),
    observer: ports.observer,
    nameOf: (path) => (methods.has(path) ? path.slice(path.lastIndexOf("/") + 1) : "-"),
  });
  // grpc-js would bind the port itself, but then limits neither connections nor TLS handshakes, and hides why it failed.
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const tcp = await openTcpListener(address, tls, (socket) => injector.injectConnection(socket));
  return {
    address: tcp.address,
    setTls: tcp.setTls,
    close: async ({ drainMs }) => {
      unsubscribe();
      const ended = tcp.stop();
      // Its own callback comes too early: Node marks sessions as closed before their streams have ended.
      server.tryShutdown(nothing);
      ports.streams.end();
      endWatchers(watchers);
      await Promise.race([ended, sleep(drainMs, undefined, { ref: false })]);
      server.forceShutdown();
      tcp.cut();
      await ended;
    },
  };
}

function createServer(
  methods: ReadonlyMap<string, GrpcMethod>,
  ports: UnaryPorts,
  watchers: Set<BaseCall>,
): grpc.Server {
  const server = new grpc.Server({
    "grpc.max_receive_message_length": LIMITS.messageBytes,
    "grpc.max_concurrent_streams": LIMITS.streamsPerConnection,
    // Finds peers that have vanished without a word.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.enable_channelz": 0,
    interceptors: [takeOver(methods, ports, watchers)],
  });
  // grpc-js looks a method up before it runs interceptors; the handlers given here are never reached.
  for (const [path, method] of methods) {
    if ("answer" in method) server.register(path, notReached, asIs, asIs, "unary");
    else server.register(path, notReachedEither, asIs, asIs, "serverStream");
  }
  return server;
}

/** AuthorizeService by path, on bytes: so that bytes that are no message are the caller's fault, and found by our decoder. */
function methodsOf(handlers: AgentHandlers): ReadonlyMap<string, GrpcMethod> {
  const { authorize, beginExecution, listCallableTools, reportOutcome, syncGuard, watchDecision } =
    AuthorizeService.method;
  const { source } = handlers;
  return new Map<string, GrpcMethod>([
    [
      pathOf(authorize),
      unary(decodeAuthorizeRequest, async (call) => encodeAnswer(await handlers.authorize(call), source)),
    ],
    [
      pathOf(watchDecision),
      {
        decode: (bytes) => decodeBinary(WatchDecisionRequestSchema, bytes),
        stream: (call: Call<UnverifiedWatch>) => watch(call, handlers),
      },
    ],
    [
      pathOf(beginExecution),
      unary(decodeBeginRequest, async (call) => encodeBegin(await handlers.beginExecution(call), source)),
    ],
    [
      pathOf(reportOutcome),
      unary(
        (bytes) => reportOf(decodeBinary(ReportOutcomeRequestSchema, bytes)),
        async (call) => encode(ReportOutcomeResponseSchema, reportFields(await handlers.reportOutcome(call))),
      ),
    ],
    [
      pathOf(syncGuard),
      unary(
        (bytes) => syncOf(decodeBinary(SyncGuardRequestSchema, bytes)),
        async (call) => encode(SyncGuardResponseSchema, syncResponse(await handlers.syncGuard(call))),
      ),
    ],
    [
      pathOf(listCallableTools),
      unary(
        (bytes) => decodeBinary(ListCallableToolsRequestSchema, bytes),
        async (call) => {
          const { agentId, policyVersion, tools } = await handlers.listCallableTools(call);
          return encode(ListCallableToolsResponseSchema, { agentId, policyVersion, tools: [...tools] });
        },
      ),
    ],
  ]);
}

function unary<Body>(
  decode: (bytes: Buffer) => Body,
  answer: (call: Call<Body>) => Promise<Buffer>,
): UnaryMethod<Body> {
  return { decode, answer };
}

/** Fields go out in the order of their numbers, so that an answer that is cut short has lost its last one. */
function encode<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc>): Buffer {
  return Buffer.from(toBinary(schema, create(schema, message)));
}

async function* watch(call: Call<UnverifiedWatch>, handlers: AgentHandlers): AsyncGenerator<Buffer, void, undefined> {
  for await (const answer of handlers.watchDecision(call)) yield encodeAnswer(answer, handlers.source);
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** Our own methods are driven by {@link serveUnary}; the streams of health and reflection are kept, to be ended at close. */
function takeOver(
  methods: ReadonlyMap<string, GrpcMethod>,
  ports: UnaryPorts,
  watchers: Set<BaseCall>,
): grpc.ServerInterceptor {
  return ({ path }, call) => {
    const method = methods.get(path);
    if (method === undefined) return trackWatcher(call, watchers);
    serveUnary(call, { path, method }, ports);
    return new grpc.ServerInterceptingCall(call, TAKEN);
  };
}

/** Given to grpc-js' own driver in place of a call that was taken over: it waits for a start that never comes. */
const TAKEN: grpc.Responder = { start() {} };

/**
 * Health and reflection ask for no credential, and grpc-js holds what has arrived of a message for as long as its stream is
 * open. So there are few of these streams, and each has to say something soon.
 */
function trackWatcher(call: BaseCall, watchers: Set<BaseCall>): grpc.ServerInterceptingCall {
  if (watchers.size >= LIMITS.streams) {
    call.sendStatus(grpcStatus(new Fault("QUEUE_FULL", "Too many streams are open.", { retryAfterMs: 5000 })));
    return new grpc.ServerInterceptingCall(call, TAKEN);
  }
  watchers.add(call);
  const silent = (): void => call.sendStatus(grpcStatus(expired()));
  let timer = setTimeout(silent, LIMITS.defaultDeadlineMs);
  return new grpc.ServerInterceptingCall(call, {
    start: (next) =>
      next({
        onReceiveMessage(message, deliver) {
          clearTimeout(timer);
          // Only reflection's streams have further messages.
          timer = setTimeout(silent, LIMITS.maxDeadlineMs);
          deliver(message);
        },
        onReceiveHalfClose(deliver) {
          clearTimeout(timer);
          deliver();
        },
        onCancel() {
          clearTimeout(timer);
          watchers.delete(call);
        },
      }),
  });
}

/** Watchers of health would otherwise hold their connections for the whole time of draining. */
function endWatchers(watchers: Iterable<BaseCall>): void {
  for (const call of watchers)
    call.sendStatus({ code: grpc.status.UNAVAILABLE, details: "The service is shutting down." });
}

function serveHealth(server: grpc.Server, readiness: Readiness): () => void {
  const health = new HealthImplementation();
  health.addToServer(server);
  return readiness.subscribe((ready) => {
    for (const service of ["", AuthorizeService.typeName]) health.setStatus(service, ready ? "SERVING" : "NOT_SERVING");
  });
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

function notReached(_call: unknown, answer: grpc.sendUnaryData<Buffer>): void {
  answer({ code: grpc.status.INTERNAL, details: "The call was not taken over." });
}

function notReachedEither(call: grpc.ServerWritableStream<Buffer, Buffer>): void {
  call.emit("error", { code: grpc.status.INTERNAL, details: "The call was not taken over." });
}

function nothing(): void {}
