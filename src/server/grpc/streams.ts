import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { Fault } from "../../core/fault.ts";
import { LIMITS } from "../limits/limits.ts";
import type { Observer } from "../handlers.ts";
import type { RequestRules } from "../limits/request-rules.ts";
import { grpcStatus } from "../codec/status.ts";
import { grpcTimeoutMs } from "../codec/timeout.ts";

type StreamHandler = (
  interceptors: unknown,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders & { ":path"?: string; ":method"?: string },
  flags: number,
  rawHeaders: readonly string[],
) => void;

/** A private method of grpc-js' Server. */
const HANDLER = "_streamHandler";

export interface StreamCheck {
  readonly rules: RequestRules;
  readonly observer: Pick<Observer, "onFault">;
  /** The name of the method with this path, for the log; a path may be anybody's text. */
  readonly nameOf: (path: string) => string;
}

/**
 * Has every stream of `server` looked at before grpc-js sees it. Call it before the server's injector is made.
 *
 * grpc-js has no place for that: interceptors see headers of which Node has dropped the repeated ones, and a `grpc-timeout` that was
 * misread. Its handler of streams is a private method, which this replaces.
 *
 * @throws Error if this version of grpc-js has no such method
 */
export function checkStreams(server: Server, { rules, observer, nameOf }: StreamCheck): void {
  const internals = server as unknown as Partial<Record<typeof HANDLER, StreamHandler>>;
  const handle = internals[HANDLER]?.bind(server);
  if (handle === undefined) throw new Error(`This version of grpc-js has no Server.${HANDLER}.`);
  internals[HANDLER] = (interceptors, stream, headers, flags, rawHeaders) => {
    const fault = rules.problemOf({ method: headers[":method"], headers, rawHeaders }) ?? timeoutProblem(headers);
    if (fault === null) return handle(interceptors, stream, headers, flags, rawHeaders);
    observer.onFault(fault, nameOf(headers[":path"] ?? ""));
    refuse(stream, fault);
  };
}

/** Also puts a distant deadline where grpc-js, which reckons in 32 bits, does not take it for one that has passed. */
function timeoutProblem(headers: IncomingHttpHeaders): Fault | null {
  const header = headers["grpc-timeout"];
  if (header === undefined) return null;
  const timeout = grpcTimeoutMs(String(header));
  if (timeout === null) {
    return new Fault(
      "REQUEST_MALFORMED",
      "The header grpc-timeout must be one to eight digits and a unit, such as 5S.",
    );
  }
  if (timeout > LIMITS.maxStreamMs) headers["grpc-timeout"] = `${LIMITS.maxStreamMs}m`;
  return null;
}

/** A response of trailers alone. What is left of the request is not waited for. */
function refuse(stream: ServerHttp2Stream, fault: Fault): void {
  const { code, details, metadata } = grpcStatus(fault);
  stream.on("error", nothing);
  stream.once("finish", () => stream.close(constants.NGHTTP2_NO_ERROR));
  const trailers = { "grpc-status": code, "grpc-message": encodeURI(details), ...metadata.toHttp2Headers() };
  stream.respond({ ":status": 200, "content-type": "application/grpc+proto", ...trailers }, { endStream: true });
}

function nothing(): void {}
