import { create, toBinary } from "@bufbuild/protobuf";
import { AuthorizeRequestSchema } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { Question } from "@datacrawl/core/request";
import type { Clock } from "@datacrawl/core/clock";
import type { Deadline } from "@datacrawl/core/deadline";
import type { RandomPool } from "@datacrawl/core/ids";
import type { Transport } from "../transport/transport.ts";
import { interpret } from "./interpret.ts";
import type { Outcome } from "./outcome.ts";

export interface AskParts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: RandomPool;
}

/**
 * What an attempt came to. The deadline has passed: `busy` if this process was too busy to look, so that the wait says nothing of
 * the service; `heard` is an answer that came too late to be acted on.
 */
export type Attempted =
  | Outcome
  | { readonly kind: "cancelled" }
  | { readonly kind: "deadline"; readonly busy: boolean; readonly heard: Outcome | null };

/** An answer's strings are bounded by the request's 256 bytes each, its message is a sentence. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** A process that looks at its deadline as much too late was blocked. */
const BUSY_MS = 100;

/** Asks the service once, with a nonce of its own. */
export async function ask(
  { transport, clock, random }: AskParts,
  question: Question,
  deadline: Deadline,
  traceparent: string | null,
): Promise<Attempted> {
  const { agentId, tool, payload, idempotencyKey, principal, sessionId } = question;
  const nonce = random.take(16);
  const message = toBinary(
    AuthorizeRequestSchema,
    create(AuthorizeRequestSchema, {
      tool,
      payload,
      idempotencyKey,
      agentId,
      nonce,
      ...(principal !== null && { principal }),
      ...(sessionId !== null && { sessionId }),
    }),
  );
  const rpc = { method: "Authorize", message, maxReplyBytes: MAX_ANSWER_BYTES, traceparent };
  const reply = await transport.call(rpc, deadline);
  if (reply.kind === "cancelled") return reply;
  const heard = reply.kind === "deadline" ? null : interpret(reply, { agentId, tool, idempotencyKey, nonce }, clock);
  // It came in time or it did not come: the caller may have given up already.
  if (heard !== null && !deadline.passed) return heard;
  return { kind: "deadline", busy: deadline.leftMs < -BUSY_MS, heard };
}
