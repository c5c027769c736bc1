/** Content codings that a server can choose from. */
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import type { Question } from "../question.ts";

export interface Coding {
  readonly name: string;
  readonly compress: (bytes: Uint8Array) => Uint8Array;
}

const CODINGS: readonly Coding[] = [
  { name: "gzip", compress: gzipSync },
  { name: "deflate", compress: deflateSync },
  { name: "br", compress: brotliCompressSync },
];

/** The first coding that the client has advertised; none if it advertised none, and then right answers are plain. */
export function advertised(q: Question): Coding | undefined {
  return CODINGS.find(({ name }) => q.accepts.includes(name));
}

/** The last coding that the client has not advertised. */
export function unadvertised(q: Question): Coding {
  return CODINGS.findLast(({ name }) => !q.accepts.includes(name)) ?? { name: "compress", compress: gzipSync };
}
