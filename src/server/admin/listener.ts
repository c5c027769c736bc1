import { systemClock } from "../../core/clock.ts";
import type { Address } from "../../config.ts";
import type { FaultCode } from "../../core/fault.ts";
import { incompleteBodies } from "../limits/bodies.ts";
import { openHttp } from "../http/http.ts";
import type { Listener } from "../listen.ts";
import { decodeMessage } from "../codec/messages.ts";
import { type NodeRequest, type NodeResponse, pathOf, respond } from "../http/node-http.ts";
import { refusePage } from "../http/probes.ts";
import { RequestRules } from "../limits/request-rules.ts";
import type { ListenerPorts } from "../handlers.ts";
import { createRpcHandler, type RpcMethod, type RpcPorts, type TurnedAway } from "../http/rpc.ts";
import { endingStreams, OpenStreams } from "../limits/streams.ts";
import type { AdminRpc } from "./service.ts";
import type { ListenerTls } from "../tls.ts";

/** Answers a request that is no RPC, such as one for a page; returns whether it did. */
export type Pages = (request: NodeRequest, response: NodeResponse) => boolean;

interface AdminListenerPorts extends Pick<ListenerPorts, "clock" | "observer"> {
  /** Resolves when it is in the trail. */
  readonly turnedAway: (request: TurnedAway) => Promise<void>;
}

const UNOBSERVED: AdminListenerPorts = {
  clock: systemClock,
  observer: { onStart: nothing, onEnd: nothing, onFault: nothing, onLateFault: nothing },
  turnedAway: async () => {},
};

/**
 * Serves operators on a Unix socket that is open to its owner alone.
 *
 * @throws UsageError if the socket cannot be listened on
 */
export async function openAdminSocket(
  path: string,
  rpcs: readonly AdminRpc[],
  ports: AdminListenerPorts = UNOBSERVED,
): Promise<Listener> {
  const streams = new OpenStreams();
  const address = { kind: "unix", path, variable: "DATACRAWL_DATA_DIR" } as const;
  const rules = new RequestRules({ address, encrypted: false, allowedHosts: [] });
  const rpc = createRpcHandler(methodsOf(rpcs), rpcPorts(ports, streams, rules));
  const listener = await openHttp(address, null, (request, response) => {
    if (!rpc(request, response)) answerUnknown(request, response, ports);
  });
  return endingStreams(listener, streams);
}

export interface AdminPortOptions {
  readonly address: Address;
  readonly tls: ListenerTls | null;
  readonly rpcs: readonly AdminRpc[];
  readonly pages?: Pages;
  /** See {@link RequestRules}. */
  readonly allowedHosts?: readonly string[];
}

/**
 * Serves operators on a port, over Connect, gRPC-Web and gRPC, in JSON and binary; what is no RPC goes to `pages`. Pages of other
 * sites get nothing: there are no CORS headers, so browsers show them no answer and send none of their JSON.
 *
 * @throws UsageError if the address cannot be listened on
 */
export async function openAdminPort(
  { address, tls, rpcs, pages, allowedHosts = [] }: AdminPortOptions,
  ports: AdminListenerPorts = UNOBSERVED,
): Promise<Listener> {
  const streams = new OpenStreams();
  const rules = new RequestRules({ address, encrypted: tls !== null, allowedHosts });
  const rpc = createRpcHandler(methodsOf(rpcs), rpcPorts(ports, streams, rules));
  const listener = await openHttp(address, tls, (request, response) => {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    if (rpc(request, response)) return;
    const problem = rules.problemOf(request);
    if (problem !== null && !isForPage(request)) answerUnknown(request, response, ports, problem.code);
    else if (!refusePage(problem, response) && !pages?.(request, response)) answerUnknown(request, response, ports);
  });
  return endingStreams(listener, streams);
}

function isForPage({ method }: NodeRequest): boolean {
  return method === "GET" || method === "HEAD";
}

/** It may be a call of a method that there is not, so it is in the trail as one. */
function answerUnknown(
  request: NodeRequest,
  response: NodeResponse,
  { turnedAway }: AdminListenerPorts,
  code: FaultCode | null = null,
): void {
  turnedAway({
    method: null,
    path: pathOf(request),
    remoteAddress: request.socket.remoteAddress,
    httpStatus: 404,
    code,
  }).then(
    () => respond(response, 404),
    () => respond(response, 503),
  );
}

function rpcPorts(
  { clock, observer, turnedAway }: AdminListenerPorts,
  streams: OpenStreams,
  rules: RequestRules,
): RpcPorts {
  return { clock, observer, rules, bodies: incompleteBodies(), streams, onTurnedAway: turnedAway };
}

/** For every answer; pages set their own content-security-policy. */
const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
} as const;

function methodsOf(rpcs: readonly AdminRpc[]): RpcMethod[] {
  return rpcs.map(methodOf);
}

function methodOf(rpc: AdminRpc): RpcMethod {
  if ("handle" in rpc) {
    const { method, handle } = rpc;
    return {
      method,
      handle: ({ message, context, signal }) =>
        handle(() => decodeMessage(method.input, message()), { ...context, signal }),
    };
  }
  const { method, stream } = rpc;
  return {
    method,
    stream: ({ message, context, signal }) =>
      stream(() => decodeMessage(method.input, message()), { ...context, signal }),
  };
}

function nothing(): void {}
