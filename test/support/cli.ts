import { COMMAND_GROUPS } from "../../src/cli/commands.ts";
import { run } from "../../src/cli/program.ts";
import { cleanEnv, type Env } from "./service.ts";

export interface CliResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of the CLI in this process: as `runCli`, without the start of another. */
export async function cli(args: readonly string[], env: Env = {}, input = ""): Promise<CliResult> {
  let [stdout, stderr, status] = ["", "", 0];
  await run(
    args,
    {
      env: cleanEnv(env),
      cwd: process.cwd(),
      startedAt: performance.now(),
      readInput: async () => input,
      askSecret: async () => {
        throw new Error("there is no terminal");
      },
      outClosed: new AbortController().signal,
      out: (text) => void (stdout += text),
      err: (text) => void (stderr += text),
      exit: (code) => void (status = code),
    },
    COMMAND_GROUPS,
  );
  return { status, stdout, stderr };
}
