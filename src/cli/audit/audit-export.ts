import { createHash, type Hash, randomUUID } from "node:crypto";
import { createWriteStream, existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip, createZstdCompress } from "node:zlib";
import type { Client } from "@connectrpc/connect";
import { Command } from "commander";
import type { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { endLine } from "../../audit/proof/export-lines.ts";
import { type Micros, systemClock } from "../../core/clock.ts";
import { syncDirectory } from "../../core/durable.ts";
import { UsageError } from "../../core/fault.ts";
import { withAdmin } from "../admin-client.ts";
import { answersWithin } from "../admin-options.ts";
import { formerly } from "../former-flag.ts";
import type { Io } from "../io.ts";
import { parseMonth, parseTime } from "../parse.ts";
import { Progress } from "../progress.ts";

/** `datacrawl audit export`. */
export function exportCommand(io: Io): Command {
  const command = answersWithin("2m", new Command("export"))
    .description(
      "Write the sealed rows of a time, with the checkpoints and hashes that make the file verifiable alone.",
    )
    .option("--since <time>", "recorded since: a date, a time, or how long ago; default: the beginning", parseTime)
    .option("--until <time>", "recorded before; default: now", parseTime)
    .option("--month <month>", "a whole month of UTC, such as 2026-11, as `audit retire` needs it", parseMonth)
    .option("--with-payloads", "with payloads, as they are stored")
    .option("--gzip", "compress with gzip")
    .option("--zstd", "compress with zstd")
    .option("--out <file>", "where to; default: standard output, not compressed and not recorded")
    .action((flags: Flags) => exportTrail(io, flags));
  formerly(command, "--from <time>", "--since");
  formerly(command, "--to <time>", "--until");
  formerly(command, "--payloads", "--with-payloads");
  return command;
}

interface Flags {
  readonly since?: Micros;
  readonly until?: Micros;
  readonly month?: Range;
  readonly withPayloads?: true;
  readonly gzip?: true;
  readonly zstd?: true;
  readonly out?: string;
}

interface Range {
  readonly from: Micros | null;
  readonly to: Micros;
}

interface Totals {
  decisions: number;
  events: number;
  payloads: number;
  missing: number;
}

type Admin = Client<typeof AdminService>;

async function exportTrail(io: Io, flags: Flags): Promise<void> {
  const range = rangeOf(flags);
  if (flags.gzip && flags.zstd) throw new UsageError(["--gzip and --zstd exclude each other"]);
  if (flags.out === undefined && (flags.gzip || flags.zstd)) throw new UsageError(["a packed export needs --out FILE"]);
  const totals: Totals = { decisions: 0, events: 0, payloads: 0, missing: 0 };
  await withAdmin(io, async (admin) => {
    const { unsealedRows } = await admin.getAuditStatus({});
    const lines = exportLines(admin, range, flags.withPayloads ?? false, totals);
    if (flags.out === undefined) await writeOut(io, lines);
    else await writeAndRecord(admin, lines, range, totals, resolve(io.cwd, flags.out), flags);
    tell(io, totals, range.to > systemClock.now() - DAY ? unsealedRows : 0n);
  });
}

/** @throws UsageError if the reader goes away: what it has is no export */
async function writeOut(io: Io, lines: AsyncIterable<Buffer>): Promise<void> {
  for await (const part of lines) {
    if (io.outClosed.aborted) throw new UsageError(["the export was interrupted: the reader closed standard output"]);
    io.out(part.toString());
  }
}

/** The file, part by part: as much of it as one part is in memory at a time. */
async function* exportLines(admin: Admin, range: Range, payloads: boolean, totals: Totals): AsyncGenerator<Buffer> {
  const digest = createHash("sha256");
  const progress = new Progress();
  let began: Micros | null = range.from;
  const request = { toUs: BigInt(range.to), includePayloads: payloads };
  for await (const part of admin.exportAudit(
    range.from === null ? request : { ...request, fromUs: BigInt(range.from) },
  )) {
    totals.decisions += Number(part.decisions);
    totals.events += Number(part.events);
    totals.payloads += Number(part.payloads);
    totals.missing += Number(part.missingRows);
    digest.update(part.lines);
    yield asBuffer(part.lines);
    const reached = Number(part.reachedUs);
    if (reached === 0) continue;
    began ??= reached;
    const end = Math.min(range.to, systemClock.now());
    progress.show(totals.decisions + totals.events, (reached - began) / Math.max(1, end - began));
  }
  progress.end();
  yield Buffer.from(endLine(totals, digest.digest("hex")));
}

/** The same bytes, not a copy of them. */
function asBuffer({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

/** The file has its name when it is whole and on disk, and is on record after that. */
async function writeAndRecord(
  admin: Admin,
  lines: AsyncIterable<Buffer>,
  range: Range,
  totals: Totals,
  path: string,
  flags: Flags,
): Promise<void> {
  if (existsSync(path)) throw new UsageError([`${path} exists already: name a file that does not`]);
  const partial = `${path}.${randomUUID()}.partial`;
  const digest = createHash("sha256");
  try {
    const fileBytes = await writePacked(lines, partial, digest, flags);
    await rename(partial, path);
    await syncDirectory(dirname(path));
    await admin.recordExport({
      ...(range.from === null ? {} : { fromUs: BigInt(range.from) }),
      toUs: BigInt(range.to),
      fileName: basename(path),
      sha256: digest.digest(),
      fileBytes: BigInt(fileBytes),
      decisions: BigInt(totals.decisions),
      events: BigInt(totals.events),
      payloads: BigInt(totals.payloads),
    });
  } finally {
    await rm(partial, { force: true });
  }
}

async function writePacked(lines: AsyncIterable<Buffer>, path: string, digest: Hash, flags: Flags): Promise<number> {
  let bytes = 0;
  const count = new Transform({
    transform(chunk: Buffer, _, done) {
      digest.update(chunk);
      bytes += chunk.length;
      done(null, chunk);
    },
  });
  const file = createWriteStream(path, { flags: "wx", mode: 0o600, flush: true });
  const source = Readable.from(lines);
  if (flags.gzip) await pipeline(source, createGzip(), count, file);
  else if (flags.zstd) await pipeline(source, createZstdCompress(), count, file);
  else await pipeline(source, count, file);
  return bytes;
}

function tell(io: Io, { decisions, events, payloads, missing }: Totals, unsealed: bigint): void {
  io.err(`Exported ${decisions} decisions, ${events} events and ${payloads} payloads.\n`);
  if (missing > 0)
    io.err(
      `${missing} sealed rows of that time are not in the database: retired, or deleted. Their hashes are in the file.\n`,
    );
  if (unsealed > 0n)
    io.err(`${unsealed} rows had no seal yet and are not in the file: \`datacrawl audit seal\` seals them.\n`);
}

const DAY: Micros = 86_400_000_000;

function rangeOf({ since, until, month }: Flags): Range {
  if (month !== undefined) {
    if (since === undefined && until === undefined) return month;
    throw new UsageError(["--month excludes --since and --until"]);
  }
  const range = { from: since ?? null, to: until ?? systemClock.now() };
  if (range.from === null || range.from < range.to) return range;
  throw new UsageError(["--since must be before --until"]);
}
