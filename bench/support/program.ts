import { parseArgs } from "node:util";
import type { Figure } from "../report.ts";
import { logTails } from "./child.ts";
import { keepResults, writeDocument } from "./results.ts";
import { Interrupted, interruptible, runMain } from "./signals.ts";
import { temporaryDirectory } from "./stores.ts";

/** A bench as a command: what it measures, and what becomes of that. */
export interface Program<Results extends { readonly at: string }> {
  readonly usage: string;
  /** Of its part of docs/benchmarks.md. */
  readonly marker: string;
  /** What the names of its files of results begin with. */
  readonly filePrefix: string;
  /** Whether it takes a table's size with --rows. */
  readonly takesRows?: true;
  /** Starts and stops all it needs; what it writes goes into `directory`, which is gone afterwards. */
  measure(stack: AsyncDisposableStack, directory: string, flags: Flags): Promise<Results>;
  figures(results: Results): Figure[];
  markdown(results: Results): string;
  /** What went wrong, so that the figures are not to be trusted; null if nothing did. */
  problem(results: Results): string | null;
}

export interface Flags {
  readonly quick: boolean;
  /** A table's size; null if none was given. */
  readonly rows: number | null;
}

/** Reads the arguments, measures, keeps the results, and prints or writes the tables. */
export async function runProgram<Results extends { readonly at: string }>(program: Program<Results>): Promise<void> {
  await runMain(() => main(program));
}

export function progress(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

async function main<Results extends { readonly at: string }>(program: Program<Results>): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      rows: { type: "string" },
      json: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(program.usage);

  if (values.rows !== undefined && program.takesRows !== true) throw new Error("this bench takes no --rows");

  const results = await measure(program, { quick: values.quick, rows: countOf(values.rows) });
  const json = `${JSON.stringify({ figures: program.figures(results), ...results }, null, 1)}\n`;
  progress(`kept in ${keepResults(`${program.filePrefix}${results.at.slice(0, 19).replaceAll(":", "")}.json`, json)}`);
  const tables = program.markdown(results);
  if (values.write) writeDocument(program.marker, tables);
  process.stdout.write(values.json ? json : `\n${tables}\n`);
  const problem = program.problem(results);
  if (problem === null) return;
  progress(`${problem}; the figures are not to be trusted`);
  process.exitCode = 1;
}

function countOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new Error(`--rows is "${text}": it must be a whole number above 0`);
}

async function measure<Results extends { readonly at: string }>(
  program: Program<Results>,
  flags: Flags,
): Promise<Results> {
  await using stack = new AsyncDisposableStack();
  const directory = temporaryDirectory(stack);
  try {
    return await interruptible(program.measure(stack, directory, flags));
  } catch (error) {
    if (!(error instanceof Interrupted)) progress(`failed; the logs end with:\n${logTails(directory)}`);
    throw error;
  }
}
