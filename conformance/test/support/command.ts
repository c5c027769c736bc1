import { Command } from "commander";
import { conformanceCommand } from "../../../src/cli/agents/conformance.ts";
import type { ExitCode, Io } from "../../../src/cli/io.ts";
import type { Report } from "../../src/report.ts";
import { NO_TERMINAL } from "../../../test/support/io.ts";

/** `datacrawl conformance …`, in this process. Rejects as the command does. */
export async function conformance(...args: readonly string[]): Promise<{ out: string; exit: ExitCode }> {
  let out = "";
  let exit: ExitCode = 0;
  const io: Io = {
    env: process.env,
    cwd: process.cwd(),
    ...NO_TERMINAL,
    out: (text) => {
      out += text;
    },
    err: () => {},
    exit: (code) => {
      exit = code;
    },
  };
  await new Command("datacrawl")
    .addCommand(conformanceCommand(io))
    .parseAsync(["conformance", ...args], { from: "user" });
  return { out, exit };
}

/** Runs the cases that `args` select against an adapter, and returns what `--json` says. */
export async function report(client: string, ...args: readonly string[]): Promise<Report & { exit: ExitCode }> {
  const { out, exit } = await conformance("run", "--json", "--client", client, ...args);
  const read: Report = JSON.parse(out);
  return { ...read, exit };
}

/** For a client that is tested beside other work: it is late if it hangs, not if the machine gave it no turn for a tenth of a second. */
export const PATIENTLY = ["--slack", "1s"];

/** A command that runs `file`, a path from the root of the repository, on this very Node. */
export function adapter(file: string, ...args: readonly string[]): string {
  return [process.execPath, file, ...args].map((part) => `'${part}'`).join(" ");
}
