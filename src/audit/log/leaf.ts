import { hashLeaf } from "./merkle.ts";

/** The tables whose rows are leaves of the trail's tree, and the byte that distinguishes them there. */
export const STREAM = { decisions: 1, events: 2 } as const;
export type Stream = keyof typeof STREAM;

const STREAM_BYTE: Readonly<Record<Stream, Uint8Array>> = {
  decisions: Uint8Array.of(STREAM.decisions),
  events: Uint8Array.of(STREAM.events),
};

/** The leaf hash of a row. @param rowHash SHA-256 of the row, 32 bytes (docs/audit-format.md) */
export function rowLeaf(stream: Stream, rowHash: Uint8Array): Buffer {
  return hashLeaf(STREAM_BYTE[stream], rowHash);
}
