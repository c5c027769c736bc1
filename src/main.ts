import { ExitCode, type ProcessIo } from "./cli/io.ts";
import { OutputStream, outputProblem } from "./cli/output-stream.ts";
import { run } from "./cli/program.ts";
import { askSecret, readInput } from "./cli/terminal.ts";

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

await run(process.argv.slice(2), io);

const problem = await outputProblem(stdout, stderr);
if (problem !== null) {
  stderr.write(`datacrawl: ${problem}\n`);
  // What was to be read is lost, whatever the command itself has done.
  process.exitCode ||= ExitCode.failed;
}
await stderr.flushed();
// A connection that does not close, such as one to a service that hangs, keeps no command from ending.
process.exit();
