import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { asksService } from "../../src/cli/admin-options.ts";
import { COMMAND_GROUPS } from "../../src/cli/commands.ts";
import { openProgram } from "../../src/cli/program.ts";
import { cli } from "../support/cli.ts";
import { NO_TERMINAL } from "../support/io.ts";

const io = { ...NO_TERMINAL, env: {}, cwd: process.cwd(), out: () => {}, err: () => {}, exit: () => {} };
const NAMES = COMMAND_GROUPS.flatMap(({ commands }) => commands.map(({ name }) => name));
const program = await openProgram(NAMES, io, COMMAND_GROUPS);

/** Every command, groups too, by the words that call it. */
function commandsOf(command: Command, path: readonly string[]): [string, Command][] {
  const below = command.commands.flatMap((child) => commandsOf(child, [...path, child.name()]));
  return [[path.join(" "), command], ...below];
}
const ALL = new Map(commandsOf(program, ["datacrawl"]));
const LEAVES = [...ALL].filter(([, command]) => command.commands.length === 0);

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (more) => void (text += more) });
  command.outputHelp();
  return text;
}

/** The calls of ours on the indented lines below "Example:" or "Examples:", without what shells add around them. */
function examplesOf(help: string): string[] {
  const [, ...lines] = help.slice(help.search(/^Examples?:$/m)).split("\n");
  const until = lines.findIndex((line) => !line.startsWith("  "));
  return lines.slice(0, until).flatMap((line) => /^ .*?\b(datacrawl( .*)?)$/.exec(line)?.[1] ?? []);
}

/** As a shell would, of what the examples hold. What stands behind -- is another program's. */
function wordsOf(example: string): string[] {
  const [call = ""] = example.split(/ (?:[|<>]|--) /);
  return [...call.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, ...parts]) => parts.find((part) => part !== undefined) ?? "",
  );
}

describe.each([...ALL])("%s --help", (path, command) => {
  const examples = examplesOf(helpOf(command));

  test("has an example of it", () => {
    expect(examples.filter((example) => `${example} `.startsWith(`${path} `))).not.toEqual([]);
  });

  test("has no example that is wrong about the command or its flags", () => {
    for (const example of examples) {
      const [, called] = [...ALL].findLast(([name]) => `${example} `.startsWith(`${name} `)) ?? [];
      const flags = wordsOf(example).filter((word) => word.startsWith("--"));
      const known = (called?.options ?? []).filter(({ hidden }) => !hidden).map(({ long }) => long);
      expect([example, flags.filter((flag) => !known.includes(flag))]).toEqual([example, []]);
    }
  });
});

describe("commands show the flags that they honour, and no others", () => {
  const unreachable = ["--admin-url", "ftp://nowhere", "--password-stdin"];

  test.each(LEAVES.filter(([, command]) => asksService(command)))(
    "%s asks the service that is named",
    async (path, command) => {
      const [example = ""] = examplesOf(helpOf(command)).filter((one) => one.startsWith(path));
      const { stderr } = await cli([...wordsOf(example).slice(1), ...unreachable]);
      expect(stderr).toContain("the admin URL must be https:");
      expect(command.options.map(({ long }) => long)).toEqual(
        expect.arrayContaining(["--admin-url", "--as", "--password-stdin", "--totp", "--timeout"]),
      );
    },
  );

  test.each(LEAVES.filter(([, command]) => !asksService(command)))(
    "%s asks none, and takes no such flag",
    async (path, command) => {
      const [example = ""] = examplesOf(helpOf(command)).filter((one) => one.startsWith(path));
      for (const flag of ["--admin-url", "--as", "--totp"]) {
        const { status, stderr } = await cli([...wordsOf(example).slice(1), flag, "x"]);
        expect([status, stderr]).toEqual([64, expect.stringContaining(`unknown option '${flag}'`)]);
      }
    },
  );

  test("most commands ask the service, and some do not", () => {
    const asking = LEAVES.filter(([, command]) => asksService(command)).length;
    expect(asking).toBeGreaterThan(40);
    expect(LEAVES.length - asking).toBeGreaterThan(10);
  });
});

describe("datacrawl --help", () => {
  test("shows a newcomer's examples before anything else, and commands by who uses them", async () => {
    const { stdout, status } = await cli(["--help"]);
    const headings = stdout.split("\n").filter((line) => /^\S.*:$/.test(line));
    expect(headings).toEqual(["Examples:", "Options:", ...COMMAND_GROUPS.map(({ heading }) => heading)]);
    for (const name of NAMES) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
    expect(status).toBe(0);
  });

  test.each([["help audit verify"], ["audit help verify"], ["audit verify --help"], ["--as ann help audit verify"]])(
    "shows one command's help: %s",
    async (line) => {
      const { stdout, status } = await cli(line.split(" "));
      expect([status, stdout]).toEqual([0, expect.stringContaining("Usage: datacrawl audit verify")]);
    },
  );
});

describe("what names no command", () => {
  // Names of members that every object has are no commands either.
  test.each(["toString", "constructor", "__proto__", "hasOwnProperty", "nonsense", "audit nonsense", "audit toString"])(
    "is an unknown command with a hint: %s",
    async (line) => {
      const { status, stdout, stderr } = await cli(line.split(" "));
      expect([status, stdout]).toEqual([64, ""]);
      expect(stderr).toContain(`unknown command '${line.split(" ").at(-1)}'`);
      expect(stderr).toContain("--help shows the commands");
    },
  );

  test.each([
    ["overvew", "overview"],
    ["--as ann bypas list", "bypass"],
    ["--as ann bypass lst", "list"],
    ["bypass --as ann lst", "list"],
  ])("is answered with what was probably meant: %s", async (line, meant) => {
    const { status, stderr } = await cli(line.split(" "));
    expect([status, stderr]).toEqual([64, expect.stringContaining(`(Did you mean ${meant}?)`)]);
  });

  test("is nothing at all: the help, as an error", async () => {
    for (const line of [[], ["--as", "ann"], ["audit"], ["--as", "ann", "audit"]]) {
      const { status, stdout, stderr } = await cli(line);
      expect([status, stdout, stderr]).toEqual([64, "", expect.stringContaining("Usage: datacrawl")]);
    }
  });
});

describe("flags for the service", () => {
  const URL = ["--admin-url", "ftp://there"];

  test.each([
    [[...URL, "bypass", "list"]],
    [["bypass", ...URL, "list"]],
    [["bypass", "list", ...URL]],
    [["bypass", "list", "billing-1", "--admin-url=ftp://there"]],
    [["--admin-url=ftp://there", "--as", "ann", "--timeout", "2s", "bypass", "list"]],
    [["--password-stdin", "bypass", "--as=ann", ...URL, "list", "billing-1", "--past"]],
    [[...URL, "overview"]],
    [["--as", "list", ...URL, "audit", "--totp", "status", "status"]],
  ])("stand anywhere on the line: %j", async (line) => {
    const { stderr, status } = await cli(line);
    expect([status, stderr]).toEqual([1, expect.stringContaining("the admin URL must be https:")]);
  });

  test("are not looked for behind --", async () => {
    const { stderr } = await cli([...URL, "bypass", "list", "--", "--as"]);
    expect(stderr).toContain("the admin URL must be https:");
  });

  test("a value that is missing is a usage error", async () => {
    const { status, stderr } = await cli(["bypass", "list", "--as"]);
    expect([status, stderr]).toEqual([64, expect.stringContaining("option '--as <name>' argument missing")]);
  });
});
