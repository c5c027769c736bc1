import http2 from "node:http2";
import { Connection } from "./connection.ts";
import {
  broken,
  type BrokenReply,
  envelope,
  type Headers,
  networkProblem,
  pairs,
  type RawReply,
  unframeBroken,
} from "./framing.ts";
import { unframeGrpc } from "./framing-grpc.ts";
import type { Attempt, Endpoint, Exchange, Protocol } from "./transport.ts";

/**
 * gRPC over `node:http2`, on one connection at a time. Not on grpc-js or connect-node: they hide HTTP's status, content type
 * and framing, and tolerate what a guard must not (docs/client.md has the figures).
 */
export function openGrpc(endpoint: Endpoint): Protocol {
  let current: Connection | null = null;
  let closed = false;
  const open = new Set<Connection>();
  return {
    send(attempt) {
      if (closed) return unsent("the guard is closed");
      if (current?.certificate !== attempt.certificate) current?.retire();
      if (current === null || !current.usable) {
        const fresh = new Connection(endpoint, attempt.certificate);
        open.add(fresh);
        fresh.session.once("close", () => open.delete(fresh));
        current = fresh;
      }
      try {
        return call(current, attempt);
      } catch (error) {
        // The session closed under our hands, or has used up its stream numbers.
        current.retire();
        return unsent(networkProblem(error));
      }
    },
    close() {
      closed = true;
      for (const connection of open) connection.destroy();
    },
  };
}

function unsent(problem: string): Exchange {
  return { reply: Promise.resolve(unframeBroken(broken("unreachable", problem))), abandon() {} };
}

function call(connection: Connection, attempt: Attempt): Exchange {
  const { method, message, timeoutMs, maxReplyBytes, awaited, streams = false, authorization, traceparent } = attempt;
  const stream = connection.session.request({
    ":method": "POST",
    ":path": `/datacrawl.authz.v1.AuthorizeService/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
    "grpc-timeout": `${Math.min(timeoutMs, 99_999_999)}m`,
    ...(authorization !== null && { authorization }),
    ...(traceparent && { traceparent }),
    "user-agent": "datacrawl-guard",
  });
  const leave = connection.enter(awaited);
  const heardBefore = connection.heard;
  const reply = listen(stream, connection, maxReplyBytes)
    .then((raw) => unframeGrpc(raw, streams))
    .finally(leave);
  stream.end(envelope(message));
  return {
    reply,
    abandon(why) {
      if (why === "silent" && connection.heard === heardBefore) connection.retire();
      stream.close(http2.constants.NGHTTP2_CANCEL);
      // Not left to the stream's end: a stream on a connection that never comes about never ends.
      leave();
    },
  };
}

function listen(stream: http2.ClientHttp2Stream, connection: Connection, maxBytes: number): Promise<RawReply> {
  return new Promise((resolve) => {
    let httpStatus = 0;
    let headers: Headers = [];
    let trailers: Headers | null = null;
    const chunks: Buffer[] = [];
    let length = 0;
    stream.on("response", (received, _flags, raw) => {
      httpStatus = Number(received[":status"]);
      headers = pairs(raw);
    });
    stream.on("trailers", (_received, _flags, raw) => (trailers = pairs(raw)));
    stream.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxBytes) chunks.push(chunk);
      else stream.close(http2.constants.NGHTTP2_CANCEL);
    });
    let error: Error | undefined;
    // "close" follows.
    stream.on("error", (cause: Error) => (error = cause));
    stream.once("close", () => {
      if (length > maxBytes) resolve(broken("protocol", `the answer is over ${maxBytes} bytes`));
      else if (stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR || httpStatus === 0)
        resolve(connection.lost ? lost(error) : brokenOff(stream));
      else resolve({ kind: "reply", httpStatus, headers, body: Buffer.concat(chunks, length), trailers });
    });
  });
}

const { NGHTTP2_PROTOCOL_ERROR, NGHTTP2_FLOW_CONTROL_ERROR, NGHTTP2_STREAM_CLOSED } = http2.constants;
const { NGHTTP2_FRAME_SIZE_ERROR, NGHTTP2_COMPRESSION_ERROR, NGHTTP2_REFUSED_STREAM } = http2.constants;
/** How nghttp2 ends a stream on which the server broke HTTP/2's rules. */
const BROKEN_RULES = new Set<number | undefined>([
  NGHTTP2_PROTOCOL_ERROR,
  NGHTTP2_FLOW_CONTROL_ERROR,
  NGHTTP2_STREAM_CLOSED,
  NGHTTP2_FRAME_SIZE_ERROR,
  NGHTTP2_COMPRESSION_ERROR,
]);

function brokenOff({ rstCode }: http2.ClientHttp2Stream): BrokenReply {
  if (rstCode === NGHTTP2_REFUSED_STREAM) return broken("unreachable", "the server refused the call");
  if (BROKEN_RULES.has(rstCode)) return broken("protocol", `HTTP/2 error ${rstCode}`);
  return broken("reset", `the stream was reset with HTTP/2 error ${rstCode}`);
}

/** The connection is gone; `error` is what the call's stream emitted. */
function lost(error: Error | undefined): BrokenReply {
  if (error === undefined) return broken("unreachable", "the connection was lost");
  // The stream of a call that waited for the connection emits a cancellation with its cause.
  const cause = error.cause instanceof Error ? error.cause : error;
  // nghttp2's own complaint: what arrived is not HTTP/2.
  const protocol = (cause as NodeJS.ErrnoException).code === "ERR_HTTP2_ERROR";
  if (!protocol) return broken("unreachable", networkProblem(cause));
  return broken(
    "protocol",
    `the port does not speak HTTP/2 (${networkProblem(cause)}); check that the URL names a gRPC port`,
  );
}
