import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

/** Longer lines are no export's: a payload has at most 256 KiB. */
const MAX_LINE = 4 << 20;
const NEWLINE = 10;
const GZIP = Buffer.of(0x1f, 0x8b);
const ZSTD = Buffer.of(0x28, 0xb5, 0x2f, 0xfd);

/**
 * A file's lines as bytes, each with its newline, unpacked if it is gzip or zstd. A line that is cut off, by the file's end or
 * at 4 MiB, comes without.
 *
 * @throws if the file cannot be read or unpacked
 */
export async function* linesOf(path: string): AsyncGenerator<Buffer> {
  let started: Buffer[] = [];
  let length = 0;
  const { bytes, ended } = await unpacked(path);
  for await (const chunk of bytes as AsyncIterable<Buffer>) {
    let at = 0;
    for (let newline = chunk.indexOf(NEWLINE); newline >= 0; newline = chunk.indexOf(NEWLINE, at)) {
      yield Buffer.concat([...started, chunk.subarray(at, newline + 1)]);
      started = [];
      length = 0;
      at = newline + 1;
    }
    started.push(chunk.subarray(at));
    length += chunk.length - at;
    if (length > MAX_LINE) break;
  }
  if (length > 0) yield Buffer.concat(started);
  await ended();
}

/** The bytes, and what is to be called when all of them were read. */
async function unpacked(path: string): Promise<{ bytes: Readable; ended: () => Promise<void> }> {
  const start = await firstBytes(path);
  const file = createReadStream(path);
  const unpack = start.subarray(0, 2).equals(GZIP)
    ? createGunzip()
    : start.equals(ZSTD)
      ? createZstdDecompress()
      : null;
  if (unpack === null) return { bytes: file, ended: async () => undefined };
  file.on("error", (error) => unpack.destroy(error));
  const ended = async (): Promise<void> => {
    // Node may leave out a second frame without a word, which others would unpack: it would pass for verified.
    const more = start.equals(ZSTD) && unpack.readableEnded ? (await stat(path)).size - unpack.bytesWritten : 0;
    if (more > 0) throw new Error(`${more} bytes come after what is packed`);
  };
  return { bytes: file.pipe(unpack), ended };
}

async function firstBytes(path: string): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
