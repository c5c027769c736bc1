import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import {
  AuthorizeRequestSchema,
  type AuthorizeResponse,
  AuthorizeResponseSchema,
  AuthorizeService,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
  StatusSchema,
} from "@datacrawl/proto/google/rpc/error_details_pb";
import { type Open, portOf } from "./open.ts";
import { CREDENTIAL } from "./stand-in.ts";

export type Asked = MessageInitShape<typeof AuthorizeRequestSchema>;

export interface AskOptions {
  readonly timeoutMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** What came back: an answer, or the status with the details that programs branch on. */
export type Outcome = { readonly answer: AuthorizeResponse } | Refusal;

export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly reason: string | undefined;
  readonly domain: string | undefined;
  readonly field: string | undefined;
  readonly retryMs: number | undefined;
}

export interface TestClient {
  readonly name: string;
  readonly ask: (request: Asked, options?: AskOptions) => Promise<Outcome>;
}

export const VALID: Asked = { tool: "gmail.send", payload: { to: "ann@example.com" }, idempotencyKey: "key-1" };
export const AUTHORIZE = "/datacrawl.authz.v1.AuthorizeService/Authorize";

/** A client for each way to ask. */
export function clientsTo(open: Open): TestClient[] {
  const clear = { baseUrl: `http://127.0.0.1:${portOf(open.connect)}`, httpVersion: "1.1" } as const;
  const baseUrl = `https://127.0.0.1:${portOf(open.connectTls)}`;
  const h2 = { baseUrl, httpVersion: "2", nodeOptions: { ca: open.ca } } as const;
  const h1 = { baseUrl, httpVersion: "1.1", nodeOptions: { ca: open.ca } } as const;
  return [
    grpcClient("gRPC", `127.0.0.1:${portOf(open.grpc)}`, grpc.credentials.createInsecure()),
    grpcClient("gRPC, TLS", `localhost:${portOf(open.grpcTls)}`, grpc.credentials.createSsl(Buffer.from(open.ca))),
    connectClient("Connect, JSON", createConnectTransport({ ...clear, useBinaryFormat: false })),
    connectClient("Connect, binary", createConnectTransport({ ...clear, useBinaryFormat: true })),
    connectClient("Connect, JSON, gzip", createConnectTransport({ ...clear, useBinaryFormat: false, ...gzip() })),
    connectClient("Connect, binary, TLS, HTTP/2", createConnectTransport({ ...h2, useBinaryFormat: true })),
    connectClient("Connect, JSON, TLS, HTTP/1.1", createConnectTransport({ ...h1, useBinaryFormat: false })),
    connectClient("gRPC-Web, binary", createGrpcWebTransport({ ...clear, useBinaryFormat: true })),
    connectClient("gRPC-Web, binary, gzip", createGrpcWebTransport({ ...clear, useBinaryFormat: true, ...gzip() })),
    connectClient("gRPC-Web, JSON", createGrpcWebTransport({ ...clear, useBinaryFormat: false })),
    connectClient("gRPC on the Connect port", createGrpcTransport({ baseUrl, nodeOptions: { ca: open.ca } })),
  ];
}

function gzip() {
  return { sendCompression: compressionGzip, compressMinBytes: 0 };
}

function connectClient(name: string, transport: Transport): TestClient {
  const client = createClient(AuthorizeService, transport);
  return {
    name,
    ask: async (request, { headers, ...options } = {}) => {
      try {
        return {
          answer: await client.authorize(request, { headers: { authorization: CREDENTIAL, ...headers }, ...options }),
        };
      } catch (error) {
        return refusalOf(ConnectError.from(error));
      }
    },
  };
}

function refusalOf(error: ConnectError): Refusal {
  const detail = <Desc extends DescMessage>(schema: Desc): MessageShape<Desc> | undefined =>
    error.findDetails(schema)[0];
  return refusal(error.code, error.rawMessage, detail);
}

function grpcClient(name: string, target: string, credentials: grpc.ChannelCredentials): TestClient {
  const client = new grpc.Client(target, credentials);
  return {
    name,
    ask: (request, options) =>
      grpcAsk(client, toBinary(AuthorizeRequestSchema, create(AuthorizeRequestSchema, request)), options),
  };
}

/** Sends `bytes`, whatever they are, as the message of a call to Authorize. */
export function grpcAsk(client: grpc.Client, bytes: Uint8Array, options: AskOptions = {}): Promise<Outcome> {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries({ authorization: CREDENTIAL, ...options.headers }))
    metadata.set(name, value);
  const deadline = options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
  return new Promise((resolve) => {
    const call = client.makeUnaryRequest(
      AUTHORIZE,
      asIs,
      asIs,
      Buffer.from(bytes),
      metadata,
      deadline,
      (error, response) => {
        if (error === null && response !== undefined)
          resolve({ answer: fromBinary(AuthorizeResponseSchema, new Uint8Array(response)) });
        else resolve(refusalOfGrpc(error as grpc.ServiceError));
      },
    );
    options.signal?.addEventListener("abort", () => call.cancel());
  });
}

function refusalOfGrpc({ code, details, metadata }: grpc.ServiceError): Refusal {
  const [bytes] = metadata.get("grpc-status-details-bin");
  const status = bytes === undefined ? undefined : fromBinary(StatusSchema, Buffer.from(bytes));
  return refusal(code, details, (schema) => {
    for (const detail of status?.details ?? []) {
      const message = anyUnpack(detail, schema);
      if (message !== undefined) return message;
    }
    return undefined;
  });
}

function refusal(
  code: number,
  message: string,
  detail: <Desc extends DescMessage>(schema: Desc) => MessageShape<Desc> | undefined,
): Refusal {
  const info = detail(ErrorInfoSchema);
  const delay = detail(RetryInfoSchema)?.retryDelay;
  return {
    code: Code[code] ?? String(code),
    message,
    reason: info?.reason,
    domain: info?.domain,
    field: detail(BadRequestSchema)?.fieldViolations[0]?.field,
    retryMs: delay === undefined ? undefined : Number(delay.seconds) * 1000 + delay.nanos / 1_000_000,
  };
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
