import { create, toBinary } from "@bufbuild/protobuf";
import { ListCallableToolsRequestSchema } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Deadline } from "@datacrawl/core/deadline";
import { Undecodable } from "@datacrawl/core/undecodable";
import { WireReader, WireType } from "@datacrawl/core/wire-reader";
import type { Reply } from "../transport/transport.ts";
import { type AskParts, attempt } from "./ask.ts";
import { type Failure, malformed } from "./outcome.ts";
import { type NoAnswer, noAnswerOf } from "./result.ts";
import { withRetries } from "./retry.ts";
import type { GuardCall } from "./through-circuit.ts";

/** What the service said of tools. It allows nothing: each call is authorized by itself. */
export interface AnsweredCallableTools {
  readonly kind: "answered";
  readonly policyVersion: string;
  /** Of those asked about, the ones that the policy does not deny in any case. */
  readonly tools: ReadonlySet<string>;
}

export type CallableTools = AnsweredCallableTools | ({ readonly kind: "unanswered" } & NoAnswer);

export interface ExpectedCallableTools {
  readonly agentId: string;
  readonly tools: ReadonlySet<string>;
}

/** 1000 names of 256 bytes, with their tags and lengths, and the rest. */
const MAX_REPLY_BYTES = 272 * 1024;

/**
 * Which of at most 1000 tools the policy does not deny in any case. Never rejects, and never outlives the call's deadline; touches neither
 * circuit nor journal: a list that cannot be had says nothing about decisions, and a service of an earlier version has no such method.
 */
export async function callableTools(
  parts: AskParts & { readonly agentId: string },
  tools: readonly string[],
  { deadlineAt, signal, traceparent = null }: GuardCall,
): Promise<CallableTools> {
  const expected = { agentId: parts.agentId, tools: new Set(tools) };
  const request = create(ListCallableToolsRequestSchema, { tools: [...expected.tools] });
  const message = toBinary(ListCallableToolsRequestSchema, request);
  const rpc = { method: "ListCallableTools", message, traceparent, maxReplyBytes: MAX_REPLY_BYTES };
  using deadline = new Deadline(parts.clock, deadlineAt, { signal });
  const ask = () =>
    attempt<AnsweredCallableTools>(parts, rpc, deadline, (reply) => interpretCallableTools(reply, expected));
  const { final } = await withRetries(parts, deadline, ask);
  return final.kind === "answered" ? final : { kind: "unanswered", ...noAnswerOf(final) };
}

const AGENT_ID = (1 << 3) | WireType.bytes;
const POLICY_VERSION = (2 << 3) | WireType.bytes;
const TOOL = (3 << 3) | WireType.bytes;

/** What the service said, if it is about this very agent and names only tools that were asked about, each once; else malformed. */
export function interpretCallableTools(reply: Reply, expected: ExpectedCallableTools): AnsweredCallableTools | Failure {
  if (reply.kind !== "messages") return reply;
  try {
    const { agentId, policyVersion, tools } = decode(reply.unverifiedMessages[0] as Uint8Array);
    if (agentId !== expected.agentId) return malformed("the answer is for another agent");
    if (!/^sha256:[0-9a-f]{64}$/.test(policyVersion)) return malformed("the answer has no policy version");
    const named = new Set(tools);
    if (named.size < tools.length) return malformed("the answer names a tool twice");
    if (tools.some((tool) => !expected.tools.has(tool)))
      return malformed("the answer names a tool that was not asked about");
    return { kind: "answered", policyVersion, tools: named };
  } catch (error) {
    if (error instanceof Undecodable) return malformed(`the answer ${error.message}`);
    throw error;
  }
}

function decode(bytes: Uint8Array): { readonly agentId: string; readonly policyVersion: string; tools: string[] } {
  let agentId: string | undefined;
  let policyVersion: string | undefined;
  const tools: string[] = [];
  const reader = new WireReader(bytes);
  while (reader.at < reader.length) {
    const tag = reader.tag(reader.length);
    if (tag === AGENT_ID && agentId === undefined) agentId = reader.string(reader.length);
    else if (tag === POLICY_VERSION && policyVersion === undefined) policyVersion = reader.string(reader.length);
    else if (tag === TOOL) tools.push(reader.string(reader.length));
    // Refuses known fields: a second one, or one of another wire type.
    else reader.skipUnknown(tag, 3, reader.length);
  }
  return { agentId: agentId ?? "", policyVersion: policyVersion ?? "", tools };
}
