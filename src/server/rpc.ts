import type { DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Clock } from "../clock.ts";
import { Fault } from "../fault.ts";
import { expired, type IncompleteBodies } from "./bodies.ts";
import { isJson, readMessage, type RequestMessage } from "./body.ts";
import { LIMITS } from "./limits.ts";
import { closeAfter, destroy, type NodeRequest, type NodeResponse, pathOf, respond } from "./node-http.ts";
import type { Observer } from "./roads.ts";
import { connectError } from "./status.ts";

/** A unary call whose request has arrived whole, as it came. */
export interface RpcCall {
  readonly authorization: string | undefined;
  readonly traceparent: string | undefined;
  readonly message: RequestMessage;
  readonly deadlineAt: number;
  readonly signal: AbortSignal;
  readonly context: HandlerContext;
}

/** A method and what answers it, or rejects with a Fault. */
export interface RpcMethod<M extends DescMethodUnary = DescMethodUnary> {
  readonly method: M;
  readonly handle: (call: RpcCall) => Promise<MessageInitShape<M["output"]>>;
}

export interface RpcPorts {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly bodies: IncompleteBodies;
}

/** Answers a request if its path is one of a method; tells whether it is. */
export type RpcHandler = (request: NodeRequest, response: NodeResponse) => boolean;

const nodeRequestKey = createContextKey<NodeRequest | undefined>(undefined);

/**
 * Serves `methods` over Connect, gRPC-Web and gRPC, in JSON and binary.
 *
 * Connect's library does the protocols: headers, deadlines, errors, responses. Requests are decoded here: the library ignores
 * unknown and repeated JSON fields, and answers bytes that are no message with INTERNAL. So it is handed an empty message,
 * and the real one is read when it calls the method.
 */
export function createRpcHandler(methods: readonly RpcMethod[], ports: RpcPorts): RpcHandler {
  const router = createConnectRouter({ acceptCompression: [compressionGzip, compressionBrotli] });
  for (const method of methods) router.rpc(method.method, (_empty, context) => answer(method, context, ports));
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  return (request, response) => {
    const handler = handlers.get(pathOf(request));
    if (handler === undefined) return false;
    const universal = emptied(request, response);
    if (universal === undefined) respond(response, 400);
    else {
      handler(universal)
        .then((answered) => {
          closeAfterUnread(request, response);
          return universalResponseToNodeResponse(answered, response);
        })
        // The connection is gone, and with it whoever could be told.
        .catch(() => destroy(response));
    }
    return true;
  };
}

/** The request without its body, which stays with Node's; undefined if its URL or Host is none. */
function emptied(request: NodeRequest, response: NodeResponse): UniversalServerRequest | undefined {
  try {
    const values = createContextValues().set(nodeRequestKey, request);
    const universal = universalRequestFromNodeRequest(request, response, undefined, values);
    for (const name of ["content-encoding", "content-length", "grpc-encoding"]) universal.header.delete(name);
    clampTimeout(universal.header);
    return { ...universal, body: emptyMessage(request) };
  } catch {
    return undefined;
  }
}

async function* emptyMessage({ headers }: NodeRequest): AsyncGenerator<Uint8Array> {
  const message = isJson(headers) ? "{}" : "";
  const enveloped = headers["content-type"]?.startsWith("application/grpc") === true;
  yield Buffer.from(enveloped ? `\0\0\0\0${String.fromCharCode(message.length)}${message}` : message);
}

const MILLISECONDS: ReadonlyMap<string, number> = new Map([
  ["H", 3_600_000],
  ["M", 60_000],
  ["S", 1000],
  ["m", 1],
  ["u", 0.001],
]);

/** Node fires timers of more than 24 days at once, and the library sets one for what the caller asks. */
function clampTimeout(headers: Headers): void {
  if (Number(headers.get("connect-timeout-ms")) > LIMITS.maxDeadlineMs) {
    headers.set("connect-timeout-ms", String(LIMITS.maxDeadlineMs));
  }
  const timeout = headers.get("grpc-timeout") ?? "";
  const unit = MILLISECONDS.get(timeout.slice(-1)) ?? 0;
  if (Number(timeout.slice(0, -1)) * unit > LIMITS.maxDeadlineMs)
    headers.set("grpc-timeout", `${LIMITS.maxDeadlineMs}m`);
}

/** What is left of a body that was refused unread must not be taken for the next request, nor be waited for. */
function closeAfterUnread(request: NodeRequest, response: NodeResponse): void {
  if (!request.complete) closeAfter(response);
}

async function answer<M extends DescMethodUnary>(
  { handle }: RpcMethod<M>,
  context: HandlerContext,
  ports: RpcPorts,
): Promise<MessageInitShape<M["output"]>> {
  const left = context.timeoutMs() ?? LIMITS.defaultDeadlineMs;
  const ours = Math.max(0, Math.min(left, LIMITS.maxDeadlineMs));
  const stop = new AbortController();
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  stop.signal.addEventListener("abort", () => reject(Fault.from(stop.signal.reason)));
  const timer = setTimeout(() => stop.abort(expired()), ours);
  // Connect aborts at the caller's deadline, when the caller goes away, and also when all is done.
  const gone = (): void => stop.abort(isLate(context.signal.reason) ? expired() : canceled());
  context.signal.addEventListener("abort", gone);
  try {
    if (context.signal.aborted) gone();
    const call = { context, signal: stop.signal, deadlineAt: ports.clock.monotonic() + ours };
    return await Promise.race([receiveAndHandle(handle, call, ports), stopped]);
  } catch (error) {
    throw refusal(error, ports.observer);
  } finally {
    clearTimeout(timer);
    context.signal.removeEventListener("abort", gone);
  }
}

function isLate(reason: unknown): boolean {
  return reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
}

function canceled(): Fault {
  return new Fault("CANCELED", "The caller went away.");
}

async function receiveAndHandle<Result>(
  handle: (call: RpcCall) => Promise<Result>,
  call: Pick<RpcCall, "context" | "signal" | "deadlineAt">,
  ports: RpcPorts,
): Promise<Result> {
  const message = await receive(call, ports.bodies);
  const { requestHeader } = call.context;
  const authorization = requestHeader.get("authorization") ?? undefined;
  const traceparent = requestHeader.get("traceparent") ?? undefined;
  ports.observer.onStart();
  try {
    return await handle({ ...call, message, authorization, traceparent });
  } finally {
    ports.observer.onEnd();
  }
}

async function receive(
  { context, signal }: Pick<RpcCall, "context" | "signal">,
  bodies: IncompleteBodies,
): Promise<RequestMessage> {
  const request = context.values.get(nodeRequestKey);
  if (request === undefined) throw new Error("The call has no request.");
  bodies.open();
  try {
    return await readMessage(request, context.protocolName, signal);
  } finally {
    bodies.close();
  }
}

function refusal(error: unknown, observer: Observer): ConnectError {
  if (error instanceof ConnectError) return error;
  const fault = Fault.from(error);
  observer.onFault(fault);
  return connectError(fault);
}
