import type { IncomingHttpHeaders } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gunzip } from "node:zlib";
import { Fault } from "../../core/fault.ts";
import { tooLarge, unsupportedEncoding } from "../limits/bodies.ts";
import { codeOf } from "../../core/error-code.ts";
import { LIMITS } from "../limits/limits.ts";
import type { NodeRequest } from "./node-http.ts";

/** A request's message as it came, decompressed. */
export type RequestMessage =
  | { readonly format: "binary"; readonly bytes: Buffer }
  | { readonly format: "json"; readonly text: string };

type Decompress = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const DECOMPRESSORS: ReadonlyMap<string, Decompress> = new Map([
  ["gzip", promisify(gunzip)],
  ["br", promisify(brotliDecompress)],
]);

/** gRPC's and gRPC-Web's frame: a byte of flags, then the message's length. */
const ENVELOPE_BYTES = 5;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads the one message of a request in any of Connect's protocols. What is over the limit is read to its end and
 * thrown away: a client that is cut off while it sends would not see why.
 *
 * @param signal when to stop waiting
 * @throws Fault MESSAGE_TOO_LARGE, ENCODING_UNSUPPORTED, REQUEST_MALFORMED or CANCELED
 */
export async function readMessage(request: NodeRequest, signal: AbortSignal): Promise<RequestMessage> {
  const enveloped = isEnveloped(request.headers);
  const body = await readWhole(request, LIMITS.messageBytes + (enveloped ? ENVELOPE_BYTES : 0), signal);
  const encoding = String(request.headers[encodingHeader(request.headers)] ?? "identity");
  const { message, compressed } = enveloped ? openEnvelope(body) : { message: body, compressed: true };
  const bytes = compressed ? await decompress(message, encoding) : message;
  return isJson(request.headers) ? { format: "json", text: decodeUtf8(bytes) } : { format: "binary", bytes };
}

export function isJson(headers: IncomingHttpHeaders): boolean {
  return /json/i.test(headers["content-type"] ?? "");
}

/** Whether messages come in frames: in gRPC and gRPC-Web always, in Connect's own protocol where one side streams. */
export function isEnveloped(headers: IncomingHttpHeaders): boolean {
  return /^application\/(?:grpc|connect\+)/i.test(headers["content-type"] ?? "");
}

function encodingHeader(headers: IncomingHttpHeaders): string {
  if (!isEnveloped(headers)) return "content-encoding";
  return /^application\/connect/i.test(headers["content-type"] ?? "") ? "connect-content-encoding" : "grpc-encoding";
}

/** Node does not end a request's stream when its connection closes after the answer: only the signal ends the wait then. */
async function readWhole(request: NodeRequest, limit: number, signal: AbortSignal): Promise<Buffer> {
  const { promise: whole, resolve, reject } = Promise.withResolvers<void>();
  const chunks: Buffer[] = [];
  let length = 0;
  const keep = (chunk: Buffer): void => {
    length += chunk.length;
    if (length <= limit) chunks.push(chunk);
  };
  const cut = (): void => reject(signal.aborted ? signal.reason : new Fault("CANCELED", "The request was cut off."));
  request.on("data", keep).once("end", resolve).once("close", cut);
  signal.addEventListener("abort", cut);
  if (signal.aborted) cut();
  try {
    await whole;
  } finally {
    request.off("data", keep).off("close", cut).resume();
    signal.removeEventListener("abort", cut);
  }
  if (length > limit) throw tooLarge();
  return Buffer.concat(chunks);
}

function openEnvelope(body: Buffer): { message: Buffer; compressed: boolean } {
  const message = body.subarray(ENVELOPE_BYTES);
  const flags = body[0];
  if (flags === undefined || flags > 1 || body.length < ENVELOPE_BYTES || body.readUInt32BE(1) !== message.length) {
    throw new Fault("REQUEST_MALFORMED", "The request is not one whole gRPC message.");
  }
  return { message, compressed: flags === 1 };
}

async function decompress(bytes: Buffer, encoding: string): Promise<Buffer> {
  if (encoding === "identity") return bytes;
  const decompressor = DECOMPRESSORS.get(encoding);
  if (decompressor === undefined) throw unsupportedEncoding([...DECOMPRESSORS.keys()]);
  try {
    return await decompressor(bytes, { maxOutputLength: LIMITS.messageBytes });
  } catch (cause) {
    if (codeOf(cause) === "ERR_BUFFER_TOO_LARGE") throw tooLarge();
    throw new Fault("REQUEST_MALFORMED", "The request cannot be decompressed.", { cause });
  }
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw new Fault("REQUEST_MALFORMED", "The request is not valid UTF-8.", { cause });
  }
}
