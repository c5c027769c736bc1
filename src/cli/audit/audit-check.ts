import { existsSync, readFileSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { Command } from "commander";
import { ExportCheck, type ExportProblem, type ExportSummary } from "../../audit/proof/export-check.ts";
import { NoteError, type NoteKey, parseVkey } from "../../audit/log/note.ts";
import { checkProof, ProofError, type Proven } from "../../audit/proof/proof.ts";
import { isoMicros } from "../../core/clock.ts";
import { UsageError, messageOf } from "../../core/fault.ts";
import { withoutService } from "../admin-options.ts";
import { linesOf } from "./compressed-file.ts";
import { formerly } from "../former-flag.ts";
import { ExitCode, type Io } from "../io.ts";
import { outJson, printable } from "../output.ts";
import { collect } from "../parse.ts";

/** `datacrawl audit check-proof` and `check-export`: without a service, a database or a network. */
export function checkCommands(io: Io): Command[] {
  const proof = new Command("check-proof")
    .description("Check a proof that `audit prove` or `prove-consistency` wrote. Exit status 1 if it is wrong.")
    .argument("<file>", "the proof")
    .requiredOption("--public-key <key>", KEY_HELP, collect)
    .option("--json", "print one JSON value")
    .action((path: string, flags: Flags) => checkProofFile(io, path, flags));
  const exported = new Command("check-export")
    .description("Check a file that `audit export` wrote, compressed or not. Exit status 1 if any part of it is wrong.")
    .argument("<file>", "the export")
    .requiredOption("--public-key <key>", KEY_HELP, collect)
    .option("--json", "print one JSON value")
    .action((path: string, flags: Flags) => checkExportFile(io, path, flags));
  for (const command of [proof, exported]) formerly(command, "--key <key...>", "--public-key");
  return [proof, exported].map(withoutService);
}

interface Flags {
  readonly publicKey: readonly string[];
  readonly json?: true;
}

const KEY_HELP = "a public key of the log, or a file of them, from a source that you trust; may be repeated";
const MAX_PROOF_BYTES = 4 << 20;

async function checkProofFile(io: Io, path: string, flags: Flags): Promise<void> {
  const trusted = readKeys(flags.publicKey);
  try {
    const proven = checkProof(await readProof(path), trusted);
    if (flags.json) outJson(io, { ok: true, ...proofView(proven) });
    else io.out(`${describeProof(proven)}\n`);
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    if (flags.json) outJson(io, { ok: false, failed: error.step, message: error.message });
    else io.out(`FAILED at ${error.step}: ${printable(error.message)}\n`);
    io.exit(ExitCode.failed);
  }
}

async function checkExportFile(io: Io, path: string, flags: Flags): Promise<void> {
  const check = new ExportCheck(readKeys(flags.publicKey));
  const unreadable = await takeAll(path, check);
  const summary = unreadable === null ? check.end() : null;
  const problems = unreadable === null ? check.problems : [...check.problems, unreadable];
  if (problems.length > 0) io.exit(ExitCode.failed);
  if (flags.json) {
    outJson(io, { ok: problems.length === 0, problems, shown: summary === null ? null : exportView(summary) });
    return;
  }
  for (const { line, step, message } of problems)
    io.out(`FAILED at ${step}: ${line === null ? "" : `line ${line}: `}${printable(message)}\n`);
  if (problems.length === 0 && summary !== null) io.out(describeExport(summary));
}

/** Null, or why the file's bytes are not to be had: it is packed, and was cut or changed. */
async function takeAll(
  path: string,
  check: ExportCheck,
): Promise<(Omit<ExportProblem, "line"> & { line: null }) | null> {
  if (!existsSync(path)) throw new UsageError([`${path} does not exist`]);
  try {
    for await (const line of linesOf(path)) {
      check.line(line);
      if (check.stopped) break;
    }
    return null;
  } catch (error) {
    const why = messageOf(error);
    return { line: null, step: "format", message: `the file cannot be read: ${why}` };
  }
}

/** Each argument is a key, or a file of keys, one a line; lines that are empty or begin with # are left out. */
function readKeys(given: readonly string[]): NoteKey[] {
  return given.flatMap((argument) => {
    if (!existsSync(argument)) return [readKey(argument, "--public-key")];
    const lines = readFileSync(argument, "utf8")
      .split("\n")
      .map((line, index) => ({ text: line.trim(), number: index + 1 }));
    const keys = lines.filter(({ text }) => text !== "" && !text.startsWith("#"));
    if (keys.length === 0) throw new UsageError([`--public-key ${argument} names no public key`]);
    return keys.map(({ text, number }) => readKey(text, `--public-key ${argument}, line ${number}`));
  });
}

function readKey(text: string, place: string): NoteKey {
  try {
    return parseVkey(text);
  } catch (error) {
    if (error instanceof NoteError) throw new UsageError([`${place}: ${error.message}`]);
    throw error;
  }
}

/** @throws ProofError format */
async function readProof(path: string): Promise<string> {
  if (!existsSync(path)) throw new UsageError([`${path} does not exist`]);
  if ((await stat(path)).size > MAX_PROOF_BYTES) throw new ProofError("format", "the file is larger than any proof");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (error) {
    if (error instanceof TypeError) throw new ProofError("format", "the file is not UTF-8");
    throw error;
  }
}

function proofView(proven: Proven): object {
  if (proven.kind === "consistency") {
    const { first, second } = proven;
    return { kind: "consistency", log: first.origin, epoch: first.epoch, sizes: [first.size, second.size] };
  }
  const { proof, checkpoint } = proven;
  return {
    kind: "decision",
    decisionId: proof.row.decisionId,
    log: checkpoint.origin,
    epoch: proof.epoch,
    leafIndex: proof.leafIndex,
    size: checkpoint.size,
    payload: proof.payload !== null,
  };
}

function describeProof(proven: Proven): string {
  if (proven.kind === "consistency") {
    const { first, second } = proven;
    return `Proven: the first ${first.size} leaves of ${printable(first.origin)} did not change until it had ${second.size}.`;
  }
  const { proof, checkpoint } = proven;
  const { decisionId, decision, reason, agentId, recordedAt } = proof.row;
  return (
    `Proven: decision ${decisionId} (${printable(`${decision}, ${reason}, agent ${agentId}`)}, ${isoMicros(recordedAt)}) is leaf ` +
    `${proof.leafIndex} of the ${checkpoint.size} that ${printable(checkpoint.origin)} had signed (epoch ${proof.epoch}).`
  );
}

function exportView({ epochs, ...rest }: ExportSummary): object {
  const views = epochs.map(({ epoch, checkpoint, rows, leavesLeftOut }) => ({
    epoch,
    size: checkpoint.size,
    rows,
    leavesLeftOut,
  }));
  return { ...rest, epochs: views };
}

function describeExport(summary: ExportSummary): string {
  const { decisions, events, payloads, log } = summary;
  const lines = [
    `Proven: ${decisions} decisions, ${events} events and ${payloads} payloads are what ${printable(log)} had signed.`,
  ];
  for (const { epoch, checkpoint, rows, leavesLeftOut: out } of summary.epochs) {
    lines.push(
      `Epoch ${epoch}: ${rows} rows of ${checkpoint.size} leaves; not in the file: ${out.before} before the first row, ` +
        `${out.among} among the rows, ${out.after} after the last.`,
    );
  }
  return `${lines.join("\n")}\n`;
}
