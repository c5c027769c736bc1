import { fromBinary, toBinary, create } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import {
  AuthorizeRequestSchema,
  AuthorizeResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { ReasonSchema } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { ask, type ServiceProcess } from "./service.ts";

/** What a transport answers: the reason of a decision, or the status that refused. */
export type Reply = { readonly reason: string; readonly decisionId: string } | { readonly status: string };

/** Asks a running service as an agent, with this bearer, or none. */
export type AskAsAgent = (service: ServiceProcess, bearer: string | null, key: string) => Promise<Reply>;

export const AGENT_TRANSPORTS: readonly (readonly [string, AskAsAgent])[] = [
  [
    "Connect",
    async (service, bearer, idempotencyKey) => {
      const headers = bearer === null ? { authorization: "" } : {};
      const { status, body } = await ask(service.connectUrl, bearer ?? "", { ...QUESTION, idempotencyKey }, headers);
      if (status !== 200) return { status: String(body["code"]).toUpperCase() };
      return { reason: String(body["reason"]).replace("REASON_", ""), decisionId: String(body["decisionId"]) };
    },
  ],
  ["gRPC", (service, bearer, key) => askGrpc(service.grpcPort, grpc.credentials.createInsecure(), bearer, key)],
];

export const QUESTION = { tool: "crm.get_contact", payload: {} };

export function askGrpc(
  port: number,
  credentials: grpc.ChannelCredentials,
  bearer: string | null,
  idempotencyKey: string,
): Promise<Reply> {
  const client = new grpc.Client(`localhost:${port}`, credentials);
  const metadata = new grpc.Metadata();
  if (bearer !== null) metadata.set("authorization", `Bearer ${bearer}`);
  const request = Buffer.from(
    toBinary(AuthorizeRequestSchema, create(AuthorizeRequestSchema, { ...QUESTION, idempotencyKey })),
  );
  const asIs = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve) => {
    const path = "/datacrawl.authz.v1.AuthorizeService/Authorize";
    client.makeUnaryRequest(path, asIs, asIs, request, metadata, (error, bytes) => {
      client.close();
      if (error !== null) return resolve({ status: grpc.status[error.code] ?? "" });
      const { reason, decisionId } = fromBinary(AuthorizeResponseSchema, bytes as Buffer);
      resolve({ reason: ReasonSchema.value[reason]?.localName ?? "", decisionId });
    });
  });
}
