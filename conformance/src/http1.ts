/** Writes HTTP/1.1 responses, right or wrong, byte by byte. */
import { concat } from "./protobuf.ts";
import { type Step, send } from "./script.ts";

export type HttpHeader = readonly [name: string, value: string];

export interface HttpAnswer {
  /** The content type of a right answer to the question. */
  readonly contentType: string;
  /** A right allow, in the codec that was asked for. */
  readonly allow: Uint8Array;
  /** A right deny. */
  readonly deny: Uint8Array;
}

/** A response head: status line and headers, up to and with the empty line. */
export function head(status: string | number, headers: readonly HttpHeader[]): Step {
  return send(headText(status, headers));
}

export function headText(status: string | number, headers: readonly HttpHeader[]): string {
  const statusLine = typeof status === "number" ? `HTTP/1.1 ${status} Status` : status;
  return [statusLine, ...headers.map(([name, value]) => `${name}: ${value}`), "", ""].join("\r\n");
}

/** A whole response: right framing, this status and these headers beside it. */
export function response(status: number | string, headers: readonly HttpHeader[], body: Uint8Array): Step {
  const framing: HttpHeader[] = [
    ["content-length", String(body.length)],
    ["connection", "close"],
  ];
  return send(concat(Buffer.from(headText(status, [...headers, ...framing]), "latin1"), body));
}

/** A right Connect answer around `body`. */
export function connectAnswer(contentType: string, body: Uint8Array): Step[] {
  return [response("HTTP/1.1 200 OK", [["content-type", contentType]], body)];
}

export function chunk(bytes: Uint8Array): Uint8Array {
  return concat(Buffer.from(`${bytes.length.toString(16)}\r\n`, "latin1"), bytes, Buffer.from("\r\n", "latin1"));
}
export const LAST_CHUNK = Buffer.from("0\r\n\r\n", "latin1");
