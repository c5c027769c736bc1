import type { ProcessIo } from "./cli/io.ts";
import { run } from "./cli/program.ts";
import { askSecret, readInput } from "./cli/terminal.ts";

const io: ProcessIo = {
  env: process.env,
  cwd: process.cwd(),
  readInput,
  askSecret,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  exit: (code) => {
    process.exitCode = code;
  },
};

// Whoever reads has seen enough, as `head` has: what is left to print goes nowhere, and that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

await run(process.argv.slice(2), io);
