import {
  foreignReply,
  framesOf,
  type Headers,
  isEncoded,
  messagesOf,
  onlyValue,
  type RawReply,
  unframeBroken,
  valuesOf,
  type WholeReply,
} from "./framing.ts";
import { excerpt, type Failure, malformed, outcomeOfStatus, STATUSES } from "../call/outcome.ts";
import { detailsOfStatus, retryAfterMs } from "./retry-info.ts";
import type { Reply } from "./transport.ts";

const CONTENT_TYPES = new Set(["application/grpc", "application/grpc+proto"]);

/**
 * gRPC, by the strictest reading of its specification: HTTP 200, one content type of ours, one `grpc-status` in the place for
 * it, and beside status 0 nothing but uncompressed frames, of which there is exactly one unless the method streams.
 */
export function unframeGrpc(reply: RawReply, streams: boolean): Reply {
  if (reply.kind === "broken") return unframeBroken(reply);
  const { httpStatus, headers, body, trailers } = reply;
  const isGrpc = CONTENT_TYPES.has(onlyValue(headers, "content-type") ?? "");
  if (!isGrpc) return foreignReply(reply);
  if (httpStatus !== 200) return malformed(`HTTP ${httpStatus}`);
  if (isEncoded(headers, "grpc-encoding")) return malformed("the answer is compressed");
  // Node checks this itself; other runtimes do not.
  if (valuesOf(headers, "content-length").some((length) => length !== String(body.length)))
    return malformed("the answer's content-length is wrong");
  if (trailers === null) return trailersOnly(reply);
  if (valuesOf(headers, "grpc-status").length > 0) return malformed("grpc-status is in the headers");
  const failure = statusIn(trailers);
  if (failure !== null) return failure;
  const frames = framesOf(body);
  if (frames === null) return malformed("the answer is not a sequence of whole frames");
  if (!streams && frames.length > 1) return malformed("the answer is not exactly one frame");
  return messagesOf(frames);
}

/** Headers that are trailers too: how gRPC sends a status without a message. */
function trailersOnly({ headers, body }: WholeReply): Failure {
  if (body.length > 0) return malformed("the answer has no trailers");
  return statusIn(headers) ?? malformed("the answer has status OK and no message");
}

/** Null for OK. */
function statusIn(trailers: Headers): Failure | null {
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
