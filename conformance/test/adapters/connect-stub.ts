/** A bare client of @connectrpc/connect-node for any transport, whose caller acts only on DECISION_ALLOW. */
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { AuthorizeService } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { AdapterQuestion } from "../../src/adapter.ts";
import { answerQuestions } from "./lines.ts";
import { decisionOf } from "./stub.ts";

await answerQuestions(async (question) => {
  const { tool, payload, idempotencyKey, agentId, deadlineMs } = question;
  const client = createClient(AuthorizeService, transportFor(question));
  return decisionOf(await client.authorize({ tool, payload, idempotencyKey, agentId }, { timeoutMs: deadlineMs }));
});

function transportFor({ url, transport }: AdapterQuestion): Transport {
  if (transport === "grpc") return createGrpcTransport({ baseUrl: url });
  return createConnectTransport({ baseUrl: url, httpVersion: "1.1", useBinaryFormat: transport === "connect-proto" });
}
