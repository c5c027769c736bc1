import type { SecureContextOptions } from "node:tls";
import { createServiceImplSpec, type MethodImplSpec, type ServiceImpl } from "@connectrpc/connect";
import { AdminService } from "../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { AuthorizeService, SyncGuardRequestSchema } from "../../gen/datacrawl/authz/v1/authorize_service_pb.ts";
import type { UnverifiedRequest } from "../authorize/call.ts";
import { systemClock } from "../clock.ts";
import type { Address } from "../config.ts";
import { answerMessage } from "./answer.ts";
import { IncompleteBodies } from "./bodies.ts";
import type { RequestMessage } from "./body.ts";
import type { Readiness } from "./health.ts";
import { openHttp } from "./http.ts";
import { decodeAuthorizeRequestJson } from "./json.ts";
import type { Listener } from "./listen.ts";
import { decodeMessage } from "./messages.ts";
import { pathOf, respond } from "./node-http.ts";
import { createPages, type MetricsPage } from "./pages.ts";
import type { ListenerPorts, Observer, Roads } from "./roads.ts";
import { createRpcHandler, type RpcMethod } from "./rpc.ts";
import { OpenStreams } from "./streams.ts";
import { decodeAuthorizeRequest } from "./wire.ts";

const UNOBSERVED: Observer = { onStart: nothing, onEnd: nothing, onFault: nothing };

export interface ConnectOptions extends ListenerPorts {
  readonly address: Address;
  readonly tls: SecureContextOptions | null;
  readonly readiness: Readiness;
  readonly metrics: MetricsPage;
}

/**
 * Serves AuthorizeService over Connect, gRPC-Web and gRPC, in JSON and binary, with `/healthz`, `/readyz` and `/metrics`.
 *
 * @throws UsageError if the address cannot be listened on
 */
export async function openConnect(options: ConnectOptions): Promise<Listener> {
  const { address, tls, roads, clock, observer, readiness, metrics } = options;
  const streams = new OpenStreams();
  const rpc = createRpcHandler(methodsOf(roads), { clock, observer, bodies: new IncompleteBodies(), streams });
  const page = createPages(readiness, metrics);
  const listener = await openHttp(address, tls, (request, response) => {
    if (rpc(request, response) || page(pathOf(request), request, response)) return;
    respond(response, 404);
  });
  return endingStreams(listener, streams);
}

function endingStreams(listener: Listener, streams: OpenStreams): Listener {
  const close: Listener["close"] = (options) => {
    streams.end();
    return listener.close(options);
  };
  return { ...listener, close };
}

/**
 * Serves AdminService on a Unix socket that is open to its owner alone: whoever can open the file is an operator.
 *
 * @param service rejects with Faults, or ConnectErrors that they have become
 * @throws UsageError if the socket cannot be listened on
 */
export async function openAdminListener(
  path: string,
  service: ServiceImpl<typeof AdminService>,
  ports: Pick<ListenerPorts, "clock" | "observer"> = { clock: systemClock, observer: UNOBSERVED },
): Promise<Listener> {
  const streams = new OpenStreams();
  const rpc = createRpcHandler(adminMethods(service), { ...ports, bodies: new IncompleteBodies(), streams });
  const address = { kind: "unix", path, variable: "DATACRAWL_DATA_DIR" } as const;
  const listener = await openHttp(address, null, (request, response) => {
    if (!rpc(request, response)) respond(response, 404);
  });
  return endingStreams(listener, streams);
}

function adminMethods(service: ServiceImpl<typeof AdminService>): RpcMethod[] {
  return Object.values(createServiceImplSpec<typeof AdminService>(AdminService, service).methods).map(rpcOf);
}

/** @param spec of a unary or a server-streaming method: AdminService has no others */
function rpcOf(spec: MethodImplSpec): RpcMethod {
  if (spec.kind === "unary") {
    const { method, impl } = spec;
    return { method, handle: async ({ message, context }) => impl(decodeMessage(method.input, message), context) };
  }
  if (spec.kind !== "server_streaming") throw new Error(`${spec.method.name} takes a stream of requests`);
  const { method, impl } = spec;
  return {
    method,
    stream: ({ message, context, signal }) => impl(decodeMessage(method.input, message), { ...context, signal }),
  };
}

function methodsOf(roads: Roads): RpcMethod[] {
  const { authorize, syncGuard } = AuthorizeService.method;
  return [
    {
      method: authorize,
      handle: async (call) => {
        const readBody = () => decodeRequest(call.message);
        return answerMessage(await roads.authorize({ ...call, readBody }), roads.source);
      },
    },
    {
      method: syncGuard,
      handle: async (call) =>
        roads.syncGuard({ ...call, request: decodeMessage(SyncGuardRequestSchema, call.message) }),
    },
  ];
}

function decodeRequest(message: RequestMessage): UnverifiedRequest {
  return message.format === "json" ? decodeAuthorizeRequestJson(message.text) : decodeAuthorizeRequest(message.bytes);
}

function nothing(): void {}
