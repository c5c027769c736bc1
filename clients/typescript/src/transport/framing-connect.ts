import {
  foreignReply,
  framesOf,
  isEncoded,
  messagesOf,
  onlyValue,
  type Unframed,
  unframeBroken,
  type UnframedStream,
  type WholeReply,
} from "./framing.ts";
import { malformed, type Outcome, outcomeOfStatus, type Status, STATUSES } from "../call/outcome.ts";
import { detailsOfError, retryAfterMs } from "./retry-info.ts";
import type { RawReply } from "./transport.ts";

/** Connect's unary protocol in protobuf: HTTP 200, its content type, and a body that tells its own length. */
export function unframeConnect(reply: RawReply): Unframed {
  if (reply.kind !== "reply") return unframeBroken(reply);
  const { httpStatus, headers, body } = reply;
  const contentType = onlyValue(headers, "content-type");
  if (httpStatus !== 200) return contentType === "application/json" ? unframeError(reply) : foreignReply(reply);
  if (contentType !== "application/proto") return foreignReply(reply);
  if (isEncoded(headers, "content-encoding")) return malformed("the answer is compressed");
  if (!tellsItsLength(reply)) return malformed("the answer does not tell its length");
  return { kind: "message", unverifiedMessage: body };
}

const LAST_FRAME = 2;

/** Connect's streaming protocol in protobuf: HTTP 200 whatever it comes to, messages, and a last frame that says how it ended. */
export function unframeConnectStream(reply: RawReply): UnframedStream {
  if (reply.kind !== "reply") return unframeBroken(reply);
  const { httpStatus, headers, body } = reply;
  if (httpStatus !== 200 || onlyValue(headers, "content-type") !== "application/connect+proto")
    return foreignReply(reply);
  if (isEncoded(headers, "connect-content-encoding") || isEncoded(headers, "content-encoding"))
    return malformed("the answer is compressed");
  if (!tellsItsLength(reply)) return malformed("the answer does not tell its length");
  const frames = framesOf(body);
  const last = frames?.at(-1);
  if (frames === null || last?.flag !== LAST_FRAME)
    return malformed("the answer is not a row of whole frames with an end");
  return unframeEnd(last.bytes) ?? messagesOf(frames.slice(0, -1));
}

/** Null if the stream ended well. */
function unframeEnd(bytes: Uint8Array): Outcome | null {
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

function unframeError(reply: WholeReply): Unframed {
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
