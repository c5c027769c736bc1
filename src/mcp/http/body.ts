import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";

/** Of a request, in bytes; as of a line. */
const MAX_BODY = 16 * 1024 * 1024;

export type Body = { readonly text: string } | { readonly status: 400 | 413 | 415; readonly problem: string };

const JSON_TYPE = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads a request's body as text. What is over the limit is not kept. @throws what the stream throws when it is cut off */
export async function readBody(request: Readable & { readonly headers: IncomingHttpHeaders }): Promise<Body> {
  const { "content-type": type = "", "content-encoding": encoding = "identity" } = request.headers;
  if (!JSON_TYPE.test(type)) return { status: 415, problem: "the content type must be application/json" };
  if (encoding !== "identity") return { status: 415, problem: "the body must not be compressed" };
  const bytes = await readWhole(request, MAX_BODY);
  if (bytes === null) return { status: 413, problem: `it is longer than ${MAX_BODY} bytes` };
  try {
    return { text: UTF8.decode(bytes) };
  } catch {
    return { status: 400, problem: "it is not valid UTF-8" };
  }
}

/** Null if it is longer than `limit`. It is read to its end in any case, so that its sender gets to the answer. */
export async function readWhole(stream: Readable, limit: number): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= limit) chunks.push(chunk);
    else chunks.length = 0;
  }
  return length <= limit ? Buffer.concat(chunks) : null;
}
