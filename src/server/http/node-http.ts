import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";

export type NodeRequest = IncomingMessage | Http2ServerRequest;
export type NodeResponse = ServerResponse | Http2ServerResponse;

/** The path that was asked for, without its query. */
export function pathOf(request: NodeRequest): string {
  return (request.url ?? "").split("?", 1)[0] ?? "";
}

export function respond(
  response: NodeResponse,
  status: number,
  headers: OutgoingHttpHeaders = {},
  body: string | Uint8Array = "",
): void {
  if ("stream" in response) response.writeHead(status, headers);
  else response.writeHead(status, headers);
  response.end(body);
}

/** Ends an HTTP/1.1 connection with this response; HTTP/2 has other ways. */
export function closeAfter(response: NodeResponse): void {
  if ("shouldKeepAlive" in response) response.shouldKeepAlive = false;
}

export function destroy(response: NodeResponse): void {
  if ("stream" in response) response.stream.destroy();
  else response.destroy();
}
