import { create, toBinary } from "@bufbuild/protobuf";
import { AuthorizeRequestSchema } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { Clock } from "@datacrawl/core/clock";
import type { Deadline } from "@datacrawl/core/deadline";
import type { RandomPool } from "@datacrawl/core/ids";
import type { Reply, Rpc, Transport } from "../transport/transport.ts";
import { interpret } from "./interpret.ts";
import type { Answered, Failure } from "./outcome.ts";
import type { Question } from "@datacrawl/core/request";

export interface AskParts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: RandomPool;
}

/**
 * What an attempt came to. The deadline has passed: `busy` if this process was too busy to look, so that the wait says nothing of
 * the service; `heard` is an answer that came too late to be acted on.
 */
export type Attempted<Answer = Answered> =
  | Answer
  | Failure
  | { readonly kind: "cancelled" }
  | { readonly kind: "deadline"; readonly busy: boolean; readonly heard: Answer | Failure | null };

/** An answer's strings are bounded by the request's 256 bytes each, its message is a sentence. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** A process that looks at its deadline as much too late was blocked. */
const BUSY_MS = 100;

/** Asks the service once, with a nonce of its own. */
export function ask(
  parts: AskParts,
  question: Question,
  deadline: Deadline,
  traceparent: string | null,
): Promise<Attempted> {
  const { agentId, tool, payload, idempotencyKey, principal, sessionId } = question;
  const nonce = parts.random.take(16);
  const request = create(AuthorizeRequestSchema, { tool, payload, idempotencyKey, agentId, nonce });
  if (principal !== null) request.principal = principal;
  if (sessionId !== null) request.sessionId = sessionId;
  const rpc = { method: "Authorize", message: toBinary(AuthorizeRequestSchema, request), traceparent };
  const expected = { agentId, tool, idempotencyKey, nonce };
  return attempt(parts, rpc, deadline, (reply) => interpret(reply, expected, parts.clock));
}

/** Calls a method once, and reads its answer with `read`. */
export async function attempt<Answer>(
  { transport }: Pick<AskParts, "transport">,
  rpc: Omit<Rpc, "maxReplyBytes"> & Partial<Pick<Rpc, "maxReplyBytes">>,
  deadline: Deadline,
  read: (reply: Reply) => Answer | Failure,
): Promise<Attempted<Answer>> {
  const reply = await transport.call({ maxReplyBytes: MAX_ANSWER_BYTES, ...rpc }, deadline);
  if (reply.kind === "cancelled") return reply;
  const heard = reply.kind === "deadline" ? null : read(reply);
  // It came in time or it did not come: the caller may have given up already.
  if (heard !== null && !deadline.passed) return heard;
  return { kind: "deadline", busy: deadline.leftMs < -BUSY_MS, heard };
}
