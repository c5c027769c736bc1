/** A bare client of @grpc/grpc-js whose caller acts only on DECISION_ALLOW: what `stub` cases are about. */
import { fromBinary, toBinary, create } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import {
  type AuthorizeRequest,
  AuthorizeRequestSchema,
  type AuthorizeResponse,
  AuthorizeResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { AdapterQuestion } from "../../src/adapter.ts";
import { answerQuestions } from "./lines.ts";
import { decisionOf } from "./stub.ts";

await answerQuestions(async (question) => {
  const url = new URL(question.url);
  const channel = url.protocol === "https:" ? credentials.createSsl() : credentials.createInsecure();
  const client = new Client(`dns:///${url.host}`, channel);
  try {
    return decisionOf(await authorize(client, question));
  } finally {
    client.close();
  }
});

function authorize(client: Client, question: AdapterQuestion): Promise<AuthorizeResponse> {
  const { tool, payload, idempotencyKey, agentId } = question;
  const request = create(AuthorizeRequestSchema, { tool, payload, idempotencyKey, agentId });
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      "/datacrawl.authz.v1.AuthorizeService/Authorize",
      (message: AuthorizeRequest) => Buffer.from(toBinary(AuthorizeRequestSchema, message)),
      (bytes: Buffer) => fromBinary(AuthorizeResponseSchema, bytes),
      request,
      new Metadata(),
      { deadline: Date.now() + question.deadlineMs },
      (error, response) => {
        if (error !== null) reject(error);
        else if (response === undefined) reject(new Error("no answer"));
        else resolve(response);
      },
    );
  });
}
