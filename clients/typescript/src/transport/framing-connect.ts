import {
  foreignReply,
  framesOf,
  isEncoded,
  messagesOf,
  onlyValue,
  type RawReply,
  unframeBroken,
  type WholeReply,
} from "./framing.ts";
import { type Failure, malformed, outcomeOfStatus, type Status, STATUSES } from "../call/outcome.ts";
import { detailsOfError, retryAfterMs } from "./retry-info.ts";
import type { Reply } from "./transport.ts";

/** Connect in protobuf: its content type, no compression, and a body with its own length. */
export function unframeConnect(reply: RawReply, streams: boolean): Reply {
  if (reply.kind === "broken") return unframeBroken(reply);
  return streams ? unframeStream(reply) : unframeUnary(reply);
}

/** The body is the message; an error has a status and a content type of its own. */
function unframeUnary(reply: WholeReply): Reply {
  const { httpStatus, headers, body } = reply;
  const contentType = onlyValue(headers, "content-type");
  if (httpStatus !== 200) return contentType === "application/json" ? unframeError(reply) : foreignReply(reply);
  if (contentType !== "application/proto") return foreignReply(reply);
  if (isEncoded(headers, "content-encoding")) return malformed("the answer is compressed");
  if (!tellsItsLength(reply)) return malformed("the answer does not declare its length");
  return { kind: "messages", unverifiedMessages: [body] };
}

const LAST_FRAME = 2;

/** HTTP 200 whatever it comes to, messages, and a last frame that says how it ended. */
function unframeStream(reply: WholeReply): Reply {
  const { httpStatus, headers, body } = reply;
  if (httpStatus !== 200 || onlyValue(headers, "content-type") !== "application/connect+proto")
    return foreignReply(reply);
  if (isEncoded(headers, "connect-content-encoding") || isEncoded(headers, "content-encoding"))
    return malformed("the answer is compressed");
  if (!tellsItsLength(reply)) return malformed("the answer does not declare its length");
  const frames = framesOf(body);
  const last = frames?.at(-1);
  if (frames === null || last?.flag !== LAST_FRAME)
    return malformed("the answer is not a sequence of whole frames with an end");
  return unframeEnd(last.bytes) ?? messagesOf(frames.slice(0, -1));
}

/** Null if the stream ended well. */
function unframeEnd(bytes: Uint8Array): Failure | null {
  try {
    const { error } = JSON.parse(Buffer.from(bytes).toString()) as { error?: unknown };
    if (error === undefined) return null;
    const read = readError(Buffer.from(JSON.stringify(error)));
    if (read !== null) return outcomeOfStatus(read.status, read.message, read.retryAfterMs);
  } catch {
    // Below.
  }
  return malformed("the answer's end is malformed");
}

/** A body that ends with the connection may have been cut. */
function tellsItsLength({ headers }: WholeReply): boolean {
  return onlyValue(headers, "content-length") !== undefined || onlyValue(headers, "transfer-encoding") === "chunked";
}

function unframeError(reply: WholeReply): Failure {
  const error = readError(reply.body);
  return error === null ? foreignReply(reply) : outcomeOfStatus(error.status, error.message, error.retryAfterMs);
}

interface ReadError {
  readonly status: Exclude<Status, "OK">;
  readonly message: string;
  readonly retryAfterMs: number | null;
}

/** The protocol's `{"code": …, "message": …, "details": …}`, or null. */
function readError(body: Buffer): ReadError | null {
  try {
    const { code, message, details } = JSON.parse(body.toString()) as Record<string, unknown>;
    // Connect spells it with one l.
    const name = code === "canceled" ? "CANCELLED" : String(code).toUpperCase();
    const status = STATUSES.find((known) => known === name);
    if (status === undefined || status === "OK") return null;
    return {
      status,
      message: typeof message === "string" ? message : "",
      retryAfterMs: retryAfterMs(detailsOfError(details)),
    };
  } catch {
    return null;
  }
}
