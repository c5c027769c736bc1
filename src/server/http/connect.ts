import {
  AuthorizeService,
  ListCallableToolsRequestSchema,
  SyncGuardRequestSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import {
  BeginExecutionRequestSchema,
  ReportOutcomeRequestSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { WatchDecisionRequestSchema } from "@datacrawl/proto/datacrawl/authz/v1/watch_pb";
import type { UnverifiedBegin } from "../../authorize/execution-call.ts";
import type { UnverifiedRequest } from "../../core/request.ts";
import type { Address } from "../../config.ts";
import { type AnswerFields, answerFields } from "../codec/answer.ts";
import { incompleteBodies } from "../limits/bodies.ts";
import type { RequestMessage } from "./body.ts";
import type { Readiness } from "../lifecycle/health.ts";
import { openHttp } from "./http.ts";
import { decodeBeginRequest } from "../codec/begin.ts";
import { beginFields, beginOf, reportFields, reportOf } from "../codec/execution.ts";
import { decodeAuthorizeRequestJson } from "../codec/json.ts";
import type { Listener } from "../listen.ts";
import { decodeJson, decodeMessage } from "../codec/messages.ts";
import { pathOf, respond } from "./node-http.ts";
import { createPages, type MetricsPage, refusePage } from "./probes.ts";
import { RequestRules } from "../limits/request-rules.ts";
import type { ListenerPorts, AgentHandlers } from "../handlers.ts";
import { endingStreams, OpenStreams } from "../limits/streams.ts";
import { createRpcHandler, type RpcCall, type RpcMethod } from "./rpc.ts";
import { syncOf, syncResponse } from "../codec/sync-guard.ts";
import { decodeAuthorizeRequest } from "../codec/wire.ts";
import type { ListenerTls } from "../tls.ts";

export interface ConnectOptions extends ListenerPorts {
  readonly address: Address;
  readonly tls: ListenerTls | null;
  readonly readiness: Readiness;
  readonly metrics: MetricsPage;
  /** See {@link RequestRules}. */
  readonly allowedHosts?: readonly string[];
}

/**
 * Serves AuthorizeService over Connect, gRPC-Web and gRPC, in JSON and binary, with `/healthz`, `/readyz` and `/metrics`.
 *
 * @throws UsageError if the address cannot be listened on
 */
export async function openConnect(options: ConnectOptions): Promise<Listener> {
  const { address, tls, handlers, clock, observer, readiness, metrics, allowedHosts = [] } = options;
  const rules = new RequestRules({ address, encrypted: tls !== null, allowedHosts });
  const streams = new OpenStreams();
  const rpc = createRpcHandler(methodsOf(handlers), { clock, observer, rules, bodies: incompleteBodies(), streams });
  const page = createPages(readiness, metrics);
  const listener = await openHttp(address, tls, (request, response) => {
    if (rpc(request, response) || refusePage(rules.problemOf(request), response)) return;
    if (page(pathOf(request), request, response)) return;
    respond(response, 404);
  });
  return endingStreams(listener, streams);
}

function methodsOf(handlers: AgentHandlers): RpcMethod[] {
  const { authorize, beginExecution, listCallableTools, reportOutcome, syncGuard, watchDecision } =
    AuthorizeService.method;
  return [
    {
      method: authorize,
      handle: async (call) => {
        const message = call.message();
        const readBody = () => decodeRequest(message);
        return answerFields(await handlers.authorize({ ...call, readBody }), handlers.source);
      },
    },
    {
      method: watchDecision,
      stream: (call) => watch(call, handlers),
    },
    {
      method: beginExecution,
      handle: async (call) => {
        const message = call.message();
        const readBody = () => decodeBegin(message);
        return beginFields(await handlers.beginExecution({ ...call, readBody }), handlers.source);
      },
    },
    {
      method: reportOutcome,
      handle: async (call) => {
        const message = call.message();
        const readBody = () => reportOf(decodeMessage(ReportOutcomeRequestSchema, message));
        return reportFields(await handlers.reportOutcome({ ...call, readBody }));
      },
    },
    {
      method: syncGuard,
      handle: async (call) => {
        const message = call.message();
        const readBody = () => syncOf(decodeMessage(SyncGuardRequestSchema, message));
        return syncResponse(await handlers.syncGuard({ ...call, readBody }));
      },
    },
    {
      method: listCallableTools,
      handle: async (call) => {
        const message = call.message();
        const readBody = () => decodeMessage(ListCallableToolsRequestSchema, message);
        const { tools, ...answer } = await handlers.listCallableTools({ ...call, readBody });
        return { ...answer, tools: [...tools] };
      },
    },
  ];
}

async function* watch(call: RpcCall, handlers: AgentHandlers): AsyncGenerator<AnswerFields, void, undefined> {
  const message = call.message();
  const readBody = () => decodeMessage(WatchDecisionRequestSchema, message);
  for await (const answer of handlers.watchDecision({ ...call, readBody })) yield answerFields(answer, handlers.source);
}

function decodeRequest(message: RequestMessage): UnverifiedRequest {
  return message.format === "json" ? decodeAuthorizeRequestJson(message.text) : decodeAuthorizeRequest(message.bytes);
}

function decodeBegin(message: RequestMessage): UnverifiedBegin {
  return message.format === "json"
    ? beginOf(decodeJson(BeginExecutionRequestSchema, message.text))
    : decodeBeginRequest(message.bytes);
}
