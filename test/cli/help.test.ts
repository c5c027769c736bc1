import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { openProgram } from "../../src/cli/program.ts";

const io = {
  env: {},
  cwd: process.cwd(),
  readInput: async () => "",
  askSecret: async () => "",
  out: () => {},
  err: () => {},
  exit: () => {},
};
const { program } = await openProgram("", io);
const ADMIN_FLAGS = ["--as", "--admin-url", "--password-stdin", "--totp"];

/** Every command, groups too, by the words that call it. */
function commandsOf(command: Command, path: readonly string[]): [string, Command][] {
  const below = command.commands.flatMap((child) => commandsOf(child, [...path, child.name()]));
  return [[path.join(" "), command], ...below];
}
const ALL = new Map(commandsOf(program, ["datacrawl"]));

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (more) => void (text += more) });
  command.outputHelp();
  return text;
}

/** The calls of ours on the indented lines below "Example:" or "Examples:", without what shells add around them. */
function examplesOf(help: string): string[] {
  const lines = help.split(/^Examples?:$/m)[1]?.split("\n") ?? [];
  return lines.flatMap((line) => /^ .*?\b(datacrawl( .*)?)$/.exec(line)?.[1] ?? []);
}

describe.each([...ALL])("%s --help", (path, command) => {
  const examples = examplesOf(helpOf(command));

  test("has an example of it", () => {
    expect(examples.filter((example) => `${example} `.startsWith(`${path} `))).not.toEqual([]);
  });

  test("has no example that is wrong about the command or its flags", () => {
    for (const example of examples) {
      const words = example.split(" | ")[0]?.split(" ") ?? [];
      const [, called] = [...ALL].findLast(([name]) => `${example} `.startsWith(`${name} `)) ?? [];
      const flags = words.map((word) => word.split("=")[0]).filter((word) => word?.startsWith("--"));
      const known = [...(called?.options ?? []).map(({ long }) => long), ...ADMIN_FLAGS, "--help", "--version"];
      expect([example, flags.filter((flag) => !known.includes(flag))]).toEqual([example, []]);
    }
  });
});

test("a reader that has seen enough, as `head` has, is no failure", async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, "../../src/main.ts"), "--help"]);
  child.stdout.destroy();
  let complaints = "";
  child.stderr.on("data", (chunk: Buffer) => (complaints += chunk.toString()));
  const [status] = (await once(child, "close")) as [number | null];
  expect(`${status} ${complaints}`).toBe("0 ");
});
