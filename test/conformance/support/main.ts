import { Command } from "commander";
import { conformanceCommand } from "../../../src/cli/conformance.ts";

/** `datacrawl conformance` as a process of its own. */
const io = {
  env: process.env,
  cwd: process.cwd(),
  out: (text: string) => void process.stdout.write(text),
  err: (text: string) => void process.stderr.write(text),
  exit: (code: number) => {
    process.exitCode = code;
  },
};
await new Command("datacrawl")
  .addCommand(conformanceCommand(io))
  .parseAsync(["conformance", ...process.argv.slice(2)], { from: "user" });
