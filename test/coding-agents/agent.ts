import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cli } from "../support/cli.ts";
import { ownProcess } from "../support/owned.ts";
import type { ScriptedCall, ScriptedModel } from "../support/scripted-model.ts";
import { demoKey, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import { startMalformed, startSilent } from "./hostile.ts";

/** A user of a coding agent on this machine: a home directory with settings, and a directory to work in. */
export interface User {
  readonly home: string;
  readonly work: string;
}

export interface Session {
  /** The lines that the tools have written. */
  readonly ran: readonly string[];
  /** What the model got back, call by call. */
  readonly results: readonly unknown[];
}

interface Started {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** How a coding agent is run, with a stand-in for its model's API. */
export interface Agent {
  /** As in `datacrawl hook NAME`. */
  readonly name: string;
  /** The tool that runs commands, as rules name it. */
  readonly shell: string;
  /** Where the hook is installed, in the home directory. */
  readonly settings: string;
  /** A call of the shell's tool. */
  readonly command: (text: string) => ScriptedCall;
  readonly startModel: (turns: readonly (readonly ScriptedCall[])[]) => Promise<ScriptedModel<unknown>>;
  /** The program, its arguments and its environment beyond `PATH` and `HOME`. */
  readonly start: (url: string) => Started;
  /** What its user has set up before. */
  readonly prepare?: (user: User) => void;
}

export const INSTALLED = join(import.meta.dirname, "node_modules");
const COMMAND = `${process.execPath} ${join(import.meta.dirname, "../../bin/datacrawl.js")}`;

export function makeUser({ prepare }: Agent): User {
  const user = { home: tempDir(), work: tempDir() };
  prepare?.(user);
  return user;
}

/** The agent, asked to do something, with a model that makes these calls. */
export async function runSession(
  agent: Agent,
  user: User,
  turns: readonly (readonly ScriptedCall[])[],
  flags: readonly string[] = [],
): Promise<Session> {
  const model = await agent.startModel(turns);
  try {
    const { argv, env } = agent.start(model.url);
    const [program, ...args] = [...argv, ...flags] as [string, ...string[]];
    const child = ownProcess(
      spawn(program, args, {
        cwd: user.work,
        env: { PATH: process.env["PATH"] ?? "", HOME: user.home, ...env },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (output += part.toString()));
    const [status] = (await once(child, "close")) as [number | null];
    // A session that broke off shows nothing about hooks.
    if (status !== 0 || model.results.length !== turns.flat().length)
      throw new Error(`${agent.name} ended with ${status} after ${model.results.length} results: ${output}`);
    const file = join(user.work, "ran");
    const ran = existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
    return { ran, results: model.results };
  } finally {
    model.close();
  }
}

export interface Hooked {
  /** A user who has installed the hook. */
  readonly install: (flags?: readonly string[], command?: string) => Promise<User>;
  /** A call whose command writes `what` to a file. The service allows "allowed" and has people review "reviewed". */
  readonly write: (what: string) => ScriptedCall;
  readonly session: (
    user: User,
    turns: readonly (readonly ScriptedCall[])[],
    flags?: readonly string[],
  ) => Promise<Session>;
  /** Replaces texts of the settings that hold the hook, to what people write who do not install it. */
  readonly edit: (user: User, pattern: RegExp, replacement: string) => void;
}

/** What holds for every agent with the installed hook; `more` adds what is its own. */
export function describeHooked(title: string, agent: Agent, more: (hooked: Hooked) => void): void {
  describe(`${title} with the installed hook`, () => {
    let service: ServiceProcess;
    let url: string;
    let keyFile: string;

    beforeAll(async () => {
      const policies = tempDir();
      const rules = [
        ["allowed", "allow"],
        ["reviewed", "needs_review"],
      ].map(
        ([what, effect]) =>
          `  - { id: ${what}, tools: [${agent.shell}], effect: ${effect}, when: 'payload.command == "echo ${what} >> ran"' }`,
      );
      writeFileSync(join(policies, "rules.yaml"), `rules:\n${rules.join("\n")}\n`);
      service = await startService({ DATACRAWL_POLICY_DIR: policies });
      url = `http://127.0.0.1:${service.grpcPort}`;
      keyFile = join(tempDir(), "agent.key");
      writeFileSync(keyFile, demoKey(service.dataDir));
    });
    afterAll(() => discard(service));

    const hooked: Hooked = {
      async install(flags = [], command = COMMAND) {
        const user = makeUser(agent);
        const given = ["--url", url, "--key-file", keyFile, "--timeout", "30s", "--review-timeout", "0s"];
        const args = ["hook", "install", agent.name, "--yes", "--command", command, ...given, ...flags];
        const { status, stderr } = await cli(args, { HOME: user.home });
        if (status !== 0) throw new Error(stderr);
        return user;
      },
      write: (what) => agent.command(`echo ${what} >> ran`),
      session: (user, turns, flags) => runSession(agent, user, turns, flags),
      edit({ home }, pattern, replacement) {
        const file = join(home, agent.settings);
        const text = readFileSync(file, "utf8");
        const edited = text.replace(pattern, replacement);
        if (edited === text) throw new Error(`${pattern} is not in ${text}`);
        writeFileSync(file, edited);
      },
    };
    const { install, write, session } = hooked;

    test("runs what is allowed of calls side by side, once, and tells the model why the others do not run", async () => {
      const { ran, results } = await session(await install(), [
        [write("denied"), write("allowed"), write("reviewed")],
        [write("denied")],
      ]);
      expect(ran).toEqual(["allowed"]);
      const [denied, , reviewed] = results.map((result) => JSON.stringify(result));
      const tool = agent.shell.replace(".", "\\.");
      expect(denied).toMatch(new RegExp(`DataCrawl: ${tool} is denied: NO_MATCHING_RULE.*decision [0-9a-f-]{36}`));
      expect(reviewed).toMatch(new RegExp(`DataCrawl: ${tool} needs a review.*decision [0-9a-f-]{36}`));
    });

    const unknownKey = (): string => {
      const file = join(tempDir(), "unknown.key");
      writeFileSync(file, `dc_agent_demo_${"0".repeat(12)}_${"0".repeat(64)}`);
      return file;
    };
    test.each<[string, () => readonly string[], string]>([
      ["no service", () => ["--url", "http://127.0.0.1:1"], COMMAND],
      ["a key that the service does not know", () => ["--key-file", unknownKey()], COMMAND],
      ["a command that is missing", () => [], "/nonexistent/datacrawl"],
      ["a command that is killed", () => [], "sh -c 'kill -9 $$' datacrawl"],
    ])("runs nothing with %s", async (_, flags, command) => {
      expect((await session(await install(flags(), command), [[write("allowed")]])).ran).toEqual([]);
    });

    test.each([
      ["says nothing", startSilent],
      ["answers nonsense", startMalformed],
    ])("runs nothing while the service %s", async (_, start) => {
      const hostile = await start();
      try {
        const user = await install(["--url", hostile.url, "--timeout", "2s"]);
        expect((await session(user, [[write("allowed")]])).ran).toEqual([]);
      } finally {
        hostile.close();
      }
    });

    describe("has traps", () => {
      more(hooked);
    });
  });
}
