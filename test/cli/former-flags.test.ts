import { type Command, Command as Program } from "commander";
import { describe, expect, test } from "vitest";
import { COMMAND_GROUPS } from "../../src/cli/commands.ts";
import { formerly } from "../../src/cli/former-flag.ts";
import { parseDuration } from "../../src/cli/parse.ts";
import { openProgram } from "../../src/cli/program.ts";
import { NO_TERMINAL } from "../support/io.ts";

const io = { ...NO_TERMINAL, env: {}, cwd: process.cwd(), out: () => {}, err: () => {}, exit: () => {} };
const names = COMMAND_GROUPS.flatMap(({ commands }) => commands.map(({ name }) => name));

/** The options that the command of these words ends up with, without running it. */
async function optionsOf(line: string): Promise<Record<string, unknown>> {
  const program = await openProgram(names, io, COMMAND_GROUPS);
  const words = line.split(" ");
  let command: Command = program;
  while (command.commands.length > 0) {
    const next = command.commands.find((one) => one.name() === words[0]);
    if (next === undefined) throw new Error(`no command in ${line}`);
    words.shift();
    command = next;
  }
  let options: Record<string, unknown> = {};
  command.action(() => {
    options = command.opts();
  });
  await program.parseAsync(line.split(" "), { from: "user" });
  return options;
}

describe("a former flag means the same as the present one", () => {
  test.each([
    ["review approve ID --comment because", "review approve ID --reason because"],
    ["review reject ID --comment=because", "review reject ID --reason because"],
    ["policy explain --tool t --payload {} --policy-dir d", "policy explain --tool t --payload {} --dir d"],
    ["audit check-proof F --key a b --key c", "audit check-proof F --public-key a --public-key b --public-key c"],
    ["audit check-export F --key a", "audit check-export F --public-key a"],
    ["audit prove ID --payload", "audit prove ID --with-payloads"],
    ["audit export --payloads", "audit export --with-payloads"],
    ["audit export --from 2026-01-01 --to 2026-02-01", "audit export --since 2026-01-01 --until 2026-02-01"],
    [
      "conformance run --client c --deadline-ms 300 --slack-ms 7",
      "conformance run --client c --deadline 300ms --slack 7ms",
    ],
  ])("%s", async (former, present) => {
    expect(await optionsOf(former)).toEqual(await optionsOf(present));
  });

  test("and is not in the help", async () => {
    const program = await openProgram(names, io, COMMAND_GROUPS);
    const helpOf = (command: Command): string =>
      [command.helpInformation(), ...command.commands.map(helpOf)].join("\n");
    expect(helpOf(program)).not.toMatch(/--(policy-dir|key <key|from|to|payloads|deadline-ms|slack-ms)\b/);
    // Of executions it is the present one.
    const review = program.commands.find((command) => command.name() === "review") as Command;
    expect(helpOf(review)).not.toContain("--comment");
  });
});

describe("a former flag", () => {
  const command = (): Command => {
    const made = new Program("x").exitOverride().configureOutput({ writeErr: () => {} });
    made.option("--for <duration>", "", parseDuration, 5);
    formerly(made, "--for-ms <n>", "--for", (value) => `${value}ms`);
    return made;
  };

  test("leaves the present one's default, and is parsed as it is", () => {
    expect(command().parse([], { from: "user" }).opts()).toEqual({ for: 5 });
    expect(command().parse(["--for-ms", "7"], { from: "user" }).opts()).toEqual({ for: 7 });
    expect(() => command().parse(["--for-ms", "x"], { from: "user" })).toThrow("such as 30m");
  });

  test("of a flag that does not exist is a mistake of the program", () => {
    expect(() => formerly(new Program("x"), "--old", "--new")).toThrow("x has no flag --new");
  });
});
