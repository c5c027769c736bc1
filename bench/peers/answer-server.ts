/** A service that allows every question, naming it as a guard demands; nothing else. `node answer-server.ts PORT`. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AuthorizeRequestSchema,
  AuthorizeResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { AGENT } from "./question.ts";
import { serveRaw } from "./raw-server.ts";

await serveRaw(Number(process.argv[2]), (request, reply) => {
  const { tool, idempotencyKey, nonce } = fromBinary(AuthorizeRequestSchema, request);
  const response = create(AuthorizeResponseSchema, {
    reason: Reason.RULE_ALLOWED,
    message: "Allowed by rule refund-small.",
    decisionId: "0198c5a2-7d1f-7c3e-9b52-1f6f0e4c2a11",
    policyVersion: `sha256:${"5".repeat(64)}`,
    decidedAt: timestampFromMs(1_760_000_000_000),
    ruleId: "refund-small",
    agentId: AGENT,
    tool,
    idempotencyKey,
    nonce,
    source: Source.SERVICE,
    decision: Decision.ALLOW,
  });
  reply(null, Buffer.from(toBinary(AuthorizeResponseSchema, response)));
});
