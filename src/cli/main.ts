import type { CommandGroup } from "./command-entry.ts";
import { ExitCode, type ProcessIo } from "./io.ts";
import { OutputStream, outputProblem } from "./output-stream.ts";
import { run } from "./program.ts";
import { askSecret, readInput } from "./terminal.ts";

/** Runs what the process' arguments ask for, with the commands of `groups`, and ends the process. */
export async function main(groups: readonly CommandGroup[]): Promise<never> {
  const stdout = new OutputStream(process.stdout);
  const stderr = new OutputStream(process.stderr);

  const io: ProcessIo = {
    env: process.env,
    cwd: process.cwd(),
    // The clock begins with the process: a caller of the command waits for its start, too.
    startedAt: 0,
    readInput,
    askSecret,
    out: (text) => stdout.write(text),
    err: (text) => stderr.write(text),
    outClosed: stdout.closed,
    exit: (code) => {
      process.exitCode = code;
    },
  };

  const args = process.argv.slice(2);
  await run(args, io, groups);

  const problem = await outputProblem(stdout, stderr);
  if (args[0] === "hook" && stdout.closed.aborted) {
    // The host has not read the answer.
    process.exitCode = ExitCode.deny;
  }
  if (problem !== null) {
    stderr.write(`datacrawl: ${problem}\n`);
    // What was to be read is lost, whatever the command itself has done.
    process.exitCode ||= ExitCode.failed;
  }
  await stderr.flushed();
  // A connection that does not close, such as one to a service that hangs, keeps no command from ending.
  process.exit();
}
