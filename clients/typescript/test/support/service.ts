import http from "node:http";
import http2 from "node:http2";
import type { Server } from "node:net";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  type AuthorizeRequest,
  AuthorizeRequestSchema,
  AuthorizeResponseSchema,
  type ListCallableToolsRequest,
  ListCallableToolsRequestSchema,
  ListCallableToolsResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import {
  type BeginExecutionRequest,
  BeginExecutionRequestSchema,
  BeginExecutionResponseSchema,
  ExecutionState,
  type ReportOutcomeRequest,
  ReportOutcomeRequestSchema,
  ReportOutcomeResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { freePort } from "../../../../test/support/net.ts";

export const API_KEY = `dc_agent_agent-1_0123456789ab_${"c0".repeat(32)}`;

type AnswerFields = MessageInitShape<typeof AuthorizeResponseSchema>;

/** A right answer to `request`, as protobuf-es encodes it; `spoiled` replaces fields. */
export function allowing(request: AuthorizeRequest, spoiled: AnswerFields = {}): Uint8Array {
  const { agentId, tool, idempotencyKey, nonce } = request;
  const fields: AnswerFields = {
    decision: Decision.ALLOW,
    reason: Reason.RULE_ALLOWED,
    source: Source.SERVICE,
    message: "Allowed by rule test.",
    decisionId: "0198c0de-0000-7000-8000-00000000c0de",
    policyVersion: `sha256:${"c0de".repeat(16)}`,
    ruleId: "test",
    decidedAt: { seconds: 1_780_000_000n, nanos: 123_456_000 },
    agentId,
    tool,
    idempotencyKey,
    nonce,
  };
  return toBinary(AuthorizeResponseSchema, create(AuthorizeResponseSchema, Object.assign(fields, spoiled)));
}

export const denied: AnswerFields = { decision: Decision.DENY, reason: Reason.RULE_DENIED };
/** After any grant of the tests was issued. */
export const frozen = {
  decision: Decision.DENY,
  reason: Reason.AGENT_FROZEN,
  decidedAt: create(TimestampSchema, { seconds: 2_000_000_000n }),
} satisfies AnswerFields;
/** After all others. */
export const later = { decidedAt: create(TimestampSchema, { seconds: 2_000_003_600n }) } satisfies AnswerFields;
export const inReview: AnswerFields = { decision: Decision.NEEDS_REVIEW, reason: Reason.REVIEW_PENDING };

type StartFields = MessageInitShape<typeof BeginExecutionResponseSchema>;

/** A right answer to a start; `spoiled` replaces fields. */
export function starting({ decisionId, nonce }: BeginExecutionRequest, spoiled: StartFields = {}): Uint8Array {
  const fields: StartFields = {
    state: ExecutionState.STARTED,
    source: Source.SERVICE,
    message: "The execution is started.",
    agentId: "agent-1",
    decisionId,
    nonce,
    executionId: "0198c0de-0000-7000-8000-00000000e0e0",
    startedAt: { seconds: 1_780_000_000n, nanos: 0 },
    startedBy: "0123456789ab",
    reportDueAt: { seconds: 1_780_000_900n, nanos: 0 },
  };
  return toBinary(BeginExecutionResponseSchema, create(BeginExecutionResponseSchema, Object.assign(fields, spoiled)));
}

/** What replaces a start's fields where another one was first. */
export const startedBefore: StartFields = { state: ExecutionState.ALREADY_STARTED, executionId: "" };

/** A right answer to a report. */
export function recording({ decisionId, executionId, outcome }: ReportOutcomeRequest): Uint8Array {
  const endedAt = create(TimestampSchema, { seconds: 1_780_000_001n });
  const fields = { decisionId, executionId, outcome, endedAt };
  return toBinary(ReportOutcomeResponseSchema, create(ReportOutcomeResponseSchema, fields));
}

/** A right answer to a question about tools, of which `tools` are callable. */
export function callable(tools: readonly string[], agentId = "agent-1"): Uint8Array {
  const fields = { agentId, policyVersion: `sha256:${"c0de".repeat(16)}`, tools: [...tools] };
  return toBinary(ListCallableToolsResponseSchema, create(ListCallableToolsResponseSchema, fields));
}

/** One gRPC frame. */
export function frame(message: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

export interface Asked {
  readonly stream: http2.ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  readonly request: AuthorizeRequest;
  /** 1 for the first call that this service gets. */
  readonly number: number;
}

export interface TestService {
  readonly url: URL;
  readonly port: number;
  /** Every request so far. */
  readonly requests: AuthorizeRequest[];
  /** Connections that were accepted. */
  connections(): number;
  /** Drops every connection and stops. */
  stop(): Promise<void>;
}

/** A start that the service was asked for. */
export interface AskedStart {
  readonly stream: http2.ServerHttp2Stream;
  readonly request: BeginExecutionRequest;
  /** 1 for the first start that this service is asked for. */
  readonly number: number;
}

/** A report that the service was given. */
export interface AskedReport {
  readonly stream: http2.ServerHttp2Stream;
  readonly request: ReportOutcomeRequest;
  /** 1 for the first report that this service is given. */
  readonly number: number;
}

/** Tools that the service was asked about. */
export interface AskedTools {
  readonly stream: http2.ServerHttp2Stream;
  readonly request: ListCallableToolsRequest;
}

interface GrpcOptions {
  /** How ListCallableTools is answered; UNIMPLEMENTED by default, as by services of before. */
  readonly tools?: (asked: AskedTools) => void;
  /** How BeginExecution is answered; each start is started by default. */
  readonly begin?: (asked: AskedStart) => void;
  /** How ReportOutcome is answered; each report is recorded by default. */
  readonly report?: (asked: AskedReport) => void;
  readonly port?: number | undefined;
  /** How SyncGuard is answered; UNIMPLEMENTED by default. */
  readonly sync?: (stream: http2.ServerHttp2Stream) => void;
}

/** A gRPC service on bare HTTP/2, whose Authorize answers as `respond` says. */
export async function serveGrpc(respond: (asked: Asked) => void, options: GrpcOptions = {}): Promise<TestService> {
  const requests: AuthorizeRequest[] = [];
  const {
    port,
    sync = (stream) => fail(stream, 12),
    tools = ({ stream }) => fail(stream, 12),
    begin = ({ stream, request }) => reply(stream, starting(request)),
    report = ({ stream, request }) => reply(stream, recording(request)),
  } = options;
  let [begun, reported] = [0, 0];
  const server = http2.createServer();
  server.on("sessionError", () => {});
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      if (headers[":path"]?.endsWith("/SyncGuard")) return sync(stream);
      const message = Buffer.concat(chunks).subarray(5);
      if (headers[":path"]?.endsWith("/ListCallableTools"))
        return tools({ stream, request: fromBinary(ListCallableToolsRequestSchema, message) });
      if (headers[":path"]?.endsWith("/BeginExecution"))
        return begin({ stream, request: fromBinary(BeginExecutionRequestSchema, message), number: ++begun });
      if (headers[":path"]?.endsWith("/ReportOutcome"))
        return report({ stream, request: fromBinary(ReportOutcomeRequestSchema, message), number: ++reported });
      const request = fromBinary(AuthorizeRequestSchema, message);
      requests.push(request);
      respond({ stream, headers, request, number: requests.length });
    });
  });
  return { requests, ...(await run(server, port)) };
}

/** Answers OK with `message` in one frame; nothing, if the caller has gone. */
export function reply(stream: http2.ServerHttp2Stream, message: Uint8Array, flag = 0): void {
  if (stream.destroyed) return;
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(frame(message, flag));
}

/** Answers with a status alone, as gRPC servers do. */
export function fail(stream: http2.ServerHttp2Stream, status: number, message = ""): void {
  if (stream.destroyed) return;
  const headers = {
    ":status": 200,
    "content-type": "application/grpc",
    "grpc-status": String(status),
    "grpc-message": message,
  };
  stream.respond(headers, { endStream: true });
}

/** A Connect service on bare HTTP/1.1. */
export async function serveConnect(
  respond: (request: AuthorizeRequest, response: http.ServerResponse, number: number) => void,
): Promise<TestService> {
  const requests: AuthorizeRequest[] = [];
  const server = http.createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      if (incoming.url?.endsWith("/SyncGuard")) return void response.writeHead(404).end();
      const request = fromBinary(AuthorizeRequestSchema, Buffer.concat(chunks));
      requests.push(request);
      respond(request, response, requests.length);
    });
  });
  return { requests, ...(await run(server)) };
}

/**
 * Anything that listens, such as a bare TCP server.
 *
 * @param port by default one that no other test is given, also when this server has stopped
 */
export async function run(server: Server, port?: number): Promise<Omit<TestService, "requests">> {
  const sockets = new Set<{ destroy(): void }>();
  let connections = 0;
  server.on("connection", (socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  const bound = port ?? (await freePort());
  await new Promise<void>((resolve) => server.listen(bound, "127.0.0.1", resolve));
  return {
    port: bound,
    url: new URL(`http://127.0.0.1:${bound}`),
    connections: () => connections,
    stop: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
