import type { DescMethod, DescMethodServerStreaming, DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Credentials } from "../../authn/agents.ts";
import type { Clock } from "../../core/clock.ts";
import { Fault, type FaultCode } from "../../core/fault.ts";
import type { Quota } from "../../core/quota.ts";
import { canceled, expired } from "../limits/bodies.ts";
import { isEnveloped, isJson, readMessage, type RequestMessage } from "./body.ts";
import { verifiedCertificate } from "../client-certificate.ts";
import { LIMITS } from "../limits/limits.ts";
import { closeAfter, destroy, type NodeRequest, type NodeResponse, pathOf } from "./node-http.ts";
import type { RequestRules } from "../limits/request-rules.ts";
import type { Observer } from "../handlers.ts";
import { connectError } from "../codec/status.ts";
import { type OpenStreams, settledUntil, yieldUntil } from "../limits/streams.ts";
import { connectTimeoutMs, grpcTimeoutMs } from "../codec/timeout.ts";

/** A call whose request has arrived, as it came. */
export interface RpcCall extends Credentials {
  readonly traceparent: string | undefined;
  /** @throws Fault saying why it cannot be read: truncated, too large, not decompressible */
  readonly message: () => RequestMessage;
  readonly deadlineAt: number;
  readonly signal: AbortSignal;
  readonly context: HandlerContext;
}

/** A method and what answers it, or rejects with a Fault. */
export interface RpcUnary<M extends DescMethodUnary = DescMethodUnary> {
  readonly method: M;
  readonly handle: (call: RpcCall) => Promise<MessageInitShape<M["output"]>>;
}

/**
 * A method that answers with many messages. Its headers go out with the first one, so that should come soon. Whatever it waits
 * for must end with the call's signal, which also aborts when the listener closes.
 */
export interface RpcStream<M extends DescMethodServerStreaming = DescMethodServerStreaming> {
  readonly method: M;
  readonly stream: (call: RpcCall) => AsyncIterable<MessageInitShape<M["output"]>>;
}

export type RpcMethod = RpcUnary | RpcStream;

/** A request that is answered without having been a call. */
export interface TurnedAway {
  /** Null if it names none that there is. */
  readonly method: DescMethod | null;
  readonly path: string;
  readonly remoteAddress: string | undefined;
  readonly httpStatus: number;
  /** Why, where that is known: {@link RequestRules} refused it. */
  readonly code: FaultCode | null;
}

export interface RpcPorts {
  readonly clock: Clock;
  readonly rules: RequestRules;
  readonly observer: Observer;
  readonly bodies: Quota;
  readonly streams: OpenStreams;
  /**
   * Called with each request that names a method and never gets to it (a foreign content type, a GET, headers that cannot be read),
   * before it is answered so; if it rejects, the answer is 503.
   */
  readonly onTurnedAway?: (request: TurnedAway) => Promise<void>;
}

/** Answers a request if its path is one of a method; returns whether it is. */
export type RpcHandler = (request: NodeRequest, response: NodeResponse) => boolean;

interface Exchange {
  readonly request: NodeRequest;
  readonly response: NodeResponse;
  /** Kept, for a socket that has closed does not know it any more. */
  readonly remoteAddress: string | undefined;
  /** Whether it got to its method. */
  isCall: boolean;
  /** Why it did not, where the listener's rules refused it. */
  refusedBecause: FaultCode | null;
}

const exchangeKey = createContextKey<Exchange | undefined>(undefined);

/** Where the call came from; undefined over a Unix socket or no network. */
export function remoteAddressOf({ values }: HandlerContext): string | undefined {
  return values.get(exchangeKey)?.remoteAddress;
}

/**
 * Serves `methods` over Connect, gRPC-Web and gRPC, in JSON and binary.
 *
 * Connect's library does the protocols: headers, deadlines, errors, responses. Requests are decoded here: the library ignores
 * unknown and repeated JSON fields, and answers bytes that are no message with INTERNAL. So it is handed an empty message,
 * and the real one is read when it calls the method.
 */
export function createRpcHandler(methods: readonly RpcMethod[], ports: RpcPorts): RpcHandler {
  const router = createConnectRouter({ acceptCompression: [compressionGzip, compressionBrotli] });
  for (const rpc of methods) {
    if ("handle" in rpc) router.rpc(rpc.method, (_empty, context) => answer(rpc, context, ports));
    else router.rpc(rpc.method, (_empty, context) => answerMany(rpc, context, ports));
  }
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  return (request, response) => {
    const handler = handlers.get(pathOf(request));
    if (handler === undefined) return false;
    const exchange: Exchange = {
      request,
      response,
      remoteAddress: request.socket.remoteAddress,
      isCall: false,
      refusedBecause: null,
    };
    // If it fails, the connection is closed, and no caller is left to answer.
    answerRequest(handler, exchange, ports).catch(() => destroy(response));
    return true;
  };
}

async function answerRequest(handler: UniversalHandler, exchange: Exchange, ports: RpcPorts): Promise<void> {
  const { request, response } = exchange;
  const maxMs = handler.method.methodKind === "unary" ? LIMITS.maxDeadlineMs : LIMITS.maxStreamMs;
  const universal = emptied(exchange, maxMs);
  const answered = universal === undefined ? { status: 400 } : await handler(universal);
  const isNoted = exchange.isCall || (await noteTurnedAway(exchange, handler.method, answered.status, ports));
  closeAfterUnread(request, response);
  await universalResponseToNodeResponse(isNoted ? answered : { status: 503 }, response);
}

async function noteTurnedAway(
  { request, remoteAddress, refusedBecause: code }: Exchange,
  method: DescMethod,
  httpStatus: number,
  { onTurnedAway }: RpcPorts,
): Promise<boolean> {
  try {
    await onTurnedAway?.({ method, path: pathOf(request), remoteAddress, httpStatus, code });
    return true;
  } catch {
    return false;
  }
}

const OF_THE_BODY = ["content-encoding", "content-length", "connect-content-encoding", "grpc-encoding"];

/** The request without its body, which stays with Node's; undefined if its URL or Host is malformed. */
function emptied(exchange: Exchange, maxMs: number): UniversalServerRequest | undefined {
  const { request, response } = exchange;
  try {
    const values = createContextValues().set(exchangeKey, exchange);
    const universal = universalRequestFromNodeRequest(request, response, undefined, values);
    for (const name of OF_THE_BODY) universal.header.delete(name);
    clampTimeout(universal.header, maxMs);
    return { ...universal, body: emptyMessage(request) };
  } catch {
    return undefined;
  }
}

async function* emptyMessage({ headers }: NodeRequest): AsyncGenerator<Uint8Array> {
  const message = isJson(headers) ? "{}" : "";
  yield Buffer.from(isEnveloped(headers) ? `\0\0\0\0${String.fromCharCode(message.length)}${message}` : message);
}

/**
 * Node fires timers of more than 24 days at once, and the library sets one for what the caller asks. It refuses what is no timeout.
 * The library counts what is left in whole milliseconds of the wall clock, so it gets a second more than {@link Limit} allows.
 */
function clampTimeout(headers: Headers, maxMs: number): void {
  const clampedMs = maxMs + 1_000;
  if ((connectTimeoutMs(headers.get("connect-timeout-ms") ?? "") ?? 0) > clampedMs)
    headers.set("connect-timeout-ms", String(clampedMs));
  if ((grpcTimeoutMs(headers.get("grpc-timeout") ?? "") ?? 0) > clampedMs) headers.set("grpc-timeout", `${clampedMs}m`);
}

/** What is left of a body that was refused unread must not be taken for the next request, nor be waited for. */
function closeAfterUnread(request: NodeRequest, response: NodeResponse): void {
  if (!request.complete) closeAfter(response);
}

async function answer<M extends DescMethodUnary>(
  { method, handle }: RpcUnary<M>,
  context: HandlerContext,
  ports: RpcPorts,
): Promise<MessageInitShape<M["output"]>> {
  using limit = new Limit(context, LIMITS.defaultDeadlineMs, LIMITS.maxDeadlineMs);
  try {
    begin(context, ports.rules);
    const call = { context, signal: limit.signal, deadlineAt: ports.clock.monotonic() + limit.leftMs };
    return await settledUntil(receiveAndHandle({ method, handle }, call, ports), limit.signal);
  } catch (error) {
    throw refusal(error, method.name, ports.observer);
  }
}

async function* answerMany<M extends DescMethodServerStreaming>(
  { method, stream }: RpcStream<M>,
  context: HandlerContext,
  ports: RpcPorts,
): AsyncGenerator<MessageInitShape<M["output"]>, void, undefined> {
  using limit = new Limit(context, LIMITS.maxStreamMs, LIMITS.maxStreamMs);
  try {
    begin(context, ports.rules);
    const message = await receiveSoon(context, limit.signal, ports.bodies);
    ports.streams.add(limit.stop);
    limit.signal.addEventListener("abort", () => cutWhenUnread(context), { once: true });
    const call = { context, signal: limit.signal, deadlineAt: ports.clock.monotonic() + limit.leftMs, message };
    yield* yieldUntil(stream({ ...call, ...headersOf(context) }), limit.signal);
  } catch (error) {
    throw refusal(error, method.name, ports.observer);
  } finally {
    limit.stop.abort();
  }
}

/** @throws Fault if the listener's rules refuse the request, which is no call then */
function begin(context: HandlerContext, rules: RequestRules): void {
  const exchange = exchangeOf(context);
  const problem = rules.problemOf(exchange.request);
  exchange.refusedBecause = problem?.code ?? null;
  if (problem !== null) throw problem;
  exchange.isCall = true;
}

/** A stream may last long, but its request may not take so long to arrive. */
async function receiveSoon(context: HandlerContext, signal: AbortSignal, bodies: Quota): Promise<RpcCall["message"]> {
  using soon = new Limit(context, LIMITS.defaultDeadlineMs, LIMITS.defaultDeadlineMs);
  return await settledUntil(receive({ context, signal: soon.signal }, bodies), signal);
}

/** A caller that reads nothing would hold the response, and what waits in it, for as long as its connection lasts. */
function cutWhenUnread(context: HandlerContext): void {
  const { response } = exchangeOf(context);
  const timer = setTimeout(() => destroy(response), LIMITS.streamEndMs).unref();
  response.once("close", () => clearTimeout(timer));
}

/** Aborts at the caller's deadline or ours, and when the caller goes away. */
class Limit {
  readonly stop = new AbortController();
  readonly leftMs: number;
  readonly #timer: NodeJS.Timeout;
  readonly #context: HandlerContext;

  constructor(context: HandlerContext, defaultMs: number, maxMs: number) {
    this.#context = context;
    this.leftMs = Math.max(0, Math.min(context.timeoutMs() ?? defaultMs, maxMs));
    this.#timer = setTimeout(() => this.stop.abort(expired()), this.leftMs);
    // Connect aborts at the caller's deadline, when the caller goes away, and also when all is done.
    context.signal.addEventListener("abort", this.#gone);
    if (context.signal.aborted) this.#gone();
  }

  get signal(): AbortSignal {
    return this.stop.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#context.signal.removeEventListener("abort", this.#gone);
  }

  readonly #gone = (): void => {
    this.stop.abort(isLate(this.#context.signal.reason) ? expired() : canceled());
  };
}

function isLate(reason: unknown): boolean {
  return reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
}

async function receiveAndHandle<M extends DescMethodUnary>(
  { method, handle }: RpcUnary<M>,
  call: Pick<RpcCall, "context" | "signal" | "deadlineAt">,
  ports: RpcPorts,
): Promise<MessageInitShape<M["output"]>> {
  const message = await receive(call, ports.bodies);
  ports.observer.onStart();
  try {
    return await handle({ ...call, message, ...headersOf(call.context) });
  } catch (error) {
    if (call.signal.aborted) ports.observer.onLateFault(faultOf(error), method.name);
    throw error;
  } finally {
    ports.observer.onEnd();
  }
}

function headersOf(context: HandlerContext): Pick<RpcCall, "authorization" | "certificate" | "traceparent"> {
  const { requestHeader } = context;
  return {
    certificate: () => verifiedCertificate(exchangeOf(context).request.socket),
    authorization: requestHeader.get("authorization") ?? undefined,
    traceparent: requestHeader.get("traceparent") ?? undefined,
  };
}

/** What keeps a request from being read is for its method to report: it may have to know who calls first. */
async function receive(
  { context, signal }: Pick<RpcCall, "context" | "signal">,
  bodies: Quota,
): Promise<RpcCall["message"]> {
  try {
    const message = await receiveWhole(context, signal, bodies);
    return () => message;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}

async function receiveWhole(context: HandlerContext, signal: AbortSignal, bodies: Quota): Promise<RequestMessage> {
  bodies.hold();
  try {
    return await readMessage(exchangeOf(context).request, signal);
  } finally {
    bodies.release();
  }
}

function exchangeOf({ values }: HandlerContext): Exchange {
  const exchange = values.get(exchangeKey);
  if (exchange === undefined) throw new Error("The call has no request.");
  return exchange;
}

function faultOf(error: unknown): Fault {
  return Fault.from(error instanceof ConnectError ? error.cause : error);
}

function refusal(error: unknown, method: string, observer: Observer): ConnectError {
  const refused = error instanceof ConnectError ? error : connectError(Fault.from(error));
  if (refused.cause instanceof Fault) observer.onFault(refused.cause, method);
  return refused;
}
