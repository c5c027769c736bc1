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
import { excerpt, malformed, type Outcome, outcomeOfStatus, STATUSES } from "../call/outcome.ts";
import { detailsOfStatus, retryAfterMs } from "./retry-info.ts";
import { type Headers, type RawReply, valuesOf } from "./transport.ts";

const CONTENT_TYPES = new Set(["application/grpc", "application/grpc+proto"]);
const PREFIX_BYTES = 5;

type Body = { readonly kind: "body"; readonly body: Buffer };

/** One message. */
export function unframeGrpc(reply: RawReply): Unframed {
  const opened = open(reply);
  return opened.kind === "body" ? unframeBody(opened.body) : opened;
}

/** A whole stream of messages. */
export function unframeGrpcStream(reply: RawReply): UnframedStream {
  const opened = open(reply);
  if (opened.kind !== "body") return opened;
  const frames = framesOf(opened.body);
  return frames === null ? malformed("the answer is not a row of whole frames") : messagesOf(frames);
}

/**
 * gRPC, by the strictest reading of its specification: HTTP 200, one content type of ours, one `grpc-status` in the place for
 * it, and beside status 0 exactly one uncompressed frame, or for a stream nothing but such frames.
 */
function open(reply: RawReply): Body | Outcome {
  if (reply.kind !== "reply") return unframeBroken(reply);
  const { httpStatus, headers, body, trailers } = reply;
  const isGrpc = CONTENT_TYPES.has(onlyValue(headers, "content-type") ?? "");
  if (!isGrpc) return foreignReply(reply);
  if (httpStatus !== 200) return malformed(`HTTP ${httpStatus}`);
  if (isEncoded(headers, "grpc-encoding")) return malformed("the answer is compressed");
  if (trailers === null) return trailersOnly(reply);
  if (valuesOf(headers, "grpc-status").length > 0) return malformed("grpc-status stands in the headers");
  return statusIn(trailers) ?? { kind: "body", body };
}

/** Headers that are trailers too: how gRPC sends a status without a message. */
function trailersOnly({ headers, body }: WholeReply): Outcome {
  if (body.length > 0) return malformed("the answer has no trailers");
  return statusIn(headers) ?? malformed("the answer has status OK and no message");
}

/** Null for OK. */
function statusIn(trailers: Headers): Outcome | null {
  const text = onlyValue(trailers, "grpc-status");
  if (text === undefined) return malformed("grpc-status is missing or repeated");
  const status = /^(0|[1-9][0-9]?)$/.test(text) ? STATUSES[Number(text)] : undefined;
  if (status === undefined) return malformed(`grpc-status is ${JSON.stringify(excerpt(text))}`);
  if (status === "OK") return null;
  const details = detailsOfStatus(onlyValue(trailers, "grpc-status-details-bin") ?? "");
  return outcomeOfStatus(status, percentDecoded(onlyValue(trailers, "grpc-message") ?? ""), retryAfterMs(details));
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function unframeBody(body: Buffer): Unframed {
  if (body.length < PREFIX_BYTES) return malformed("the answer has no message");
  if (body[0] !== 0) return malformed(`the answer's frame has flag ${body[0]}`);
  if (body.readUInt32BE(1) !== body.length - PREFIX_BYTES) return malformed("the answer is not exactly one frame");
  return { kind: "message", unverifiedMessage: body.subarray(PREFIX_BYTES) };
}
