/**
 * The one question that every peer is asked: may agent `billing-7` refund 42.50 EUR? Each is asked in its own protocol, of
 * the same content, and answers by the same two rules among ten.
 */
import { create, fromJson, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { timestampFromMs, ValueSchema } from "@bufbuild/protobuf/wkt";
import {
  AuthorizeRequestSchema,
  AuthorizeResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { KEY_LENGTH } from "../load.ts";
import type { PrebuiltRequest } from "./peer.ts";

/** AuthorizeService.Authorize as a gRPC method. */
export const AUTHORIZE_PATH = "/datacrawl.authz.v1.AuthorizeService/Authorize";

export const AGENT = "billing-7";
const SERVICE = "stripe";
const ACTION = "refund";
const TOOL = `${SERVICE}.${ACTION}`;
const PAYLOAD: JsonObject = {
  amount: 42.5,
  currency: "EUR",
  charge: "ch_3PqLkD2eZvKYlo2C1x8bT0aF",
  reason: "requested_by_customer",
  customer: { id: "cus_QhX2mZ9rT4", email: "jane.doe@example.com" },
};

/** The question as a program has it. */
export const QUESTION = { tool: TOOL, payload: PAYLOAD } as const;

/** What both rules look at, in CEL. `input` is what the policy language calls the payload. */
const allowIf = (input: string) => `${input}.amount <= 100.0 && ${input}.currency == "EUR"`;
const denyIf = (input: string) => `${input}.amount > 1000.0`;

export function authorizeRequest(): PrebuiltRequest {
  const request = create(AuthorizeRequestSchema, {
    tool: TOOL,
    payload: PAYLOAD,
    idempotencyKey: PLACEHOLDER,
    nonce: new Uint8Array(16).fill(7),
  });
  return prebuilt(toBinary(AuthorizeRequestSchema, request));
}

/** An answer like the service's own, of the same size: what the bare echo sends. */
export function authorizeResponse(): Buffer {
  const response = create(AuthorizeResponseSchema, {
    reason: Reason.RULE_ALLOWED,
    message: "Allowed by rule refund-small.",
    decisionId: "0198c5a2-7d1f-7c3e-9b52-1f6f0e4c2a11",
    policyVersion: `sha256:${"5".repeat(64)}`,
    decidedAt: timestampFromMs(1_760_000_000_000),
    ruleId: "refund-small",
    agentId: AGENT,
    tool: TOOL,
    idempotencyKey: PLACEHOLDER,
    nonce: new Uint8Array(16).fill(7),
    source: Source.SERVICE,
    decision: Decision.ALLOW,
  });
  return Buffer.from(toBinary(AuthorizeResponseSchema, response));
}

/** The service reads at most 1 MiB of a file. */
const RULES_OF_A_FILE = 5_000;

/** DataCrawl's policy by the names of its files: the two rules, and rules about other tools up to `rules` in all. */
export function policyFiles(rules: number): Record<string, string> {
  const others = Array.from({ length: rules - 2 }, (_, i) => {
    const condition = `payload.amount <= ${i}.0 && payload.currency == "EUR"`;
    return `  - { id: other-${i}, tools: [tool${i}.act], effect: allow, when: '${condition}' }`;
  });
  const all = [
    `  - { id: refund-small, tools: [${TOOL}], effect: allow, when: '${allowIf("payload")}' }`,
    `  - { id: refund-huge, tools: [${TOOL}], effect: deny, when: '${denyIf("payload")}' }`,
    ...others,
  ];
  const files: Record<string, string> = {};
  for (let first = 0; first < all.length; first += RULES_OF_A_FILE)
    files[`bench-${first}.yaml`] = ["rules:", ...all.slice(first, first + RULES_OF_A_FILE), ""].join("\n");
  return files;
}

/**
 * Cerbos' CheckResourcesRequest: request_id = 1, principal = 3 {id = 1, roles = 3}, resources = 4 {actions = 1, resource = 2
 * {kind = 1, id = 3, attr = 4}}. The request's id takes the place of the key.
 */
export function checkResourcesRequest(): PrebuiltRequest {
  const principal = new BinaryWriter().tag(1, WireType.LengthDelimited).string(AGENT);
  principal.tag(3, WireType.LengthDelimited).string("agent");
  const resource = new BinaryWriter().tag(1, WireType.LengthDelimited).string(SERVICE);
  resource.tag(3, WireType.LengthDelimited).string("call");
  for (const [name, value] of Object.entries(PAYLOAD)) {
    const entry = new BinaryWriter().tag(1, WireType.LengthDelimited).string(name);
    entry.tag(2, WireType.LengthDelimited).bytes(toBinary(ValueSchema, fromJson(ValueSchema, value)));
    resource.tag(4, WireType.LengthDelimited).bytes(entry.finish());
  }
  const entry = new BinaryWriter().tag(1, WireType.LengthDelimited).string(ACTION);
  entry.tag(2, WireType.LengthDelimited).bytes(resource.finish());
  const request = new BinaryWriter().tag(1, WireType.LengthDelimited).string(PLACEHOLDER);
  request.tag(3, WireType.LengthDelimited).bytes(principal.finish());
  request.tag(4, WireType.LengthDelimited).bytes(entry.finish());
  return prebuilt(request.finish());
}

/** The same policy for Cerbos, as its files by name: one resource policy per kind, with the same conditions. */
export function cerbosPolicies(rules: number): Record<string, string> {
  const attributes = "request.resource.attr";
  const others = Array.from({ length: rules - 2 }, (_, i) => [
    `tool${i}.yaml`,
    cerbosPolicy(`tool${i}`, [
      ["act", "EFFECT_ALLOW", `${attributes}.amount <= ${i}.0 && ${attributes}.currency == "EUR"`],
    ]),
  ]);
  const refund = cerbosPolicy(SERVICE, [
    [ACTION, "EFFECT_ALLOW", allowIf(attributes)],
    [ACTION, "EFFECT_DENY", denyIf(attributes)],
  ]);
  return { [`${SERVICE}.yaml`]: refund, ...Object.fromEntries(others) };
}

function cerbosPolicy(kind: string, rules: [action: string, effect: string, condition: string][]): string {
  const entries = rules.map(
    ([action, effect, condition]) =>
      `    - { actions: [${action}], effect: ${effect}, roles: [agent], condition: { match: { expr: '${condition}' } } }`,
  );
  const head = [
    "apiVersion: api.cerbos.dev/v1",
    "resourcePolicy:",
    `  resource: ${kind}`,
    "  version: default",
    "  rules:",
  ];
  return [...head, ...entries, ""].join("\n");
}

const PLACEHOLDER = "#".repeat(KEY_LENGTH);

function prebuilt(message: Uint8Array): PrebuiltRequest {
  const bytes = Buffer.from(message);
  return { message: bytes, keyAt: bytes.indexOf(PLACEHOLDER) };
}
