import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Ended, type ProcessOptions, runBin } from "../support/process.ts";
import { addReviewer, approveAll, signInAs } from "../support/reviewers.ts";
import { demoKey, discard, type Env, type ServiceProcess, startService, tempDir } from "../support/service.ts";

interface Event {
  readonly tool_name?: string;
  readonly tool_input?: object;
  readonly tool_use_id?: string | undefined;
}

/** What `hook test --json` says of a command. */
interface Finding {
  readonly command: string;
  readonly status: number | null;
  readonly decisionId: string | null;
  readonly problem: string | null;
}

const SESSION = "dd3f72ad-7972-4f5e-a5df-477533be13ac";
const ALLOWED = {
  tool_name: "mcp__gmail__send_email",
  tool_input: { to: ["ann@example.com"], body: "Hi\u200d\u0007" },
};
const REVIEWED = { tool_name: "mcp__stripe__refund", tool_input: { amount: 250, currency: "EUR" } };
const DENIED = { tool_name: "WebSearch", tool_input: { query: "secrets" } };

let calls = 0;
function event(of: Event): string {
  calls += 1;
  return JSON.stringify({ session_id: SESSION, hook_event_name: "PreToolUse", tool_use_id: `toolu_${calls}`, ...of });
}

const moduleOf = (script: string): string => `data:text/javascript,${encodeURIComponent(script)}`;

/** A service that takes connections and says nothing. */
async function startSilent(): Promise<{ readonly url: string; readonly server: Server; readonly close: () => void }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => void sockets.push(socket.on("error", () => {})));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, close };
}

function outputOf({ stdout }: Ended): Record<string, unknown> {
  return (JSON.parse(stdout) as { hookSpecificOutput: Record<string, unknown> }).hookSpecificOutput;
}

/** That the host blocks the tool, and says why to the model and to people. */
function expectDenied(ended: Ended, why: string | RegExp): void {
  const denied = { hookEventName: "PreToolUse", permissionDecision: "deny" };
  expect([ended.status, outputOf(ended)]).toEqual([
    2,
    { ...denied, permissionDecisionReason: expect.stringMatching(why) },
  ]);
  expect(ended.stderr).toMatch(why);
}

describe("datacrawl hook claude-code", () => {
  let service: ServiceProcess;
  let env: Env;
  let keyFile: string;
  const hook = (
    input: NonNullable<ProcessOptions["input"]>,
    options: ProcessOptions = {},
    flags: readonly string[] = [],
  ) =>
    runBin(["hook", "claude-code", "--timeout", "30s", "--review-timeout", "0s", ...flags], { env, ...options, input });

  beforeAll(async () => {
    service = await startService();
    const key = demoKey(service.dataDir);
    keyFile = join(tempDir(), "agent.key");
    writeFileSync(keyFile, `${key}\n`);
    env = { DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}`, DATACRAWL_API_KEY: key };
  });
  afterAll(() => discard(service));

  test("lets the host go on with the judged arguments, and grants nothing, on an allow", async () => {
    const allowed = await hook(event(ALLOWED));
    expect([allowed.status, allowed.stderr, outputOf(allowed)]).toEqual([
      0,
      "",
      { hookEventName: "PreToolUse", updatedInput: ALLOWED.tool_input },
    ]);
    expect(allowed.stdout).toMatch(/^[\x20-\x7e]+\n$/);
  });

  test("grants the host's permission, too, if that was asked for", async () => {
    expect(outputOf(await hook(event(ALLOWED), {}, ["--grant-permission"]))).toMatchObject({
      permissionDecision: "allow",
    });
  });

  test("denies what a rule denies, with the decision's id", async () => {
    expectDenied(
      await hook(event(DENIED)),
      /^DataCrawl: claude-code\.WebSearch is denied: NO_MATCHING_RULE: .*\(decision [0-9a-f-]{36}\)/,
    );
  });

  test("gives one call one decision, another call another, and a call without an id its own", async () => {
    const idOf = async (of: Event): Promise<string | undefined> =>
      /decision ([0-9a-f-]{36})/.exec((await hook(event(of))).stderr)?.[1];
    const [first, again, other] = [
      await idOf({ ...DENIED, tool_use_id: "one" }),
      await idOf({ ...DENIED, tool_use_id: "one" }),
      await idOf({ ...DENIED, tool_use_id: "two" }),
    ];
    expect(again).toBe(first);
    expect(other).not.toBe(first);
    const nameless = { ...DENIED, tool_use_id: undefined };
    expect(await idOf(nameless)).not.toBe(await idOf(nameless));
  });

  test("denies another input under the id of a call that was allowed", async () => {
    expect((await hook(event({ ...ALLOWED, tool_use_id: "same" }))).status).toBe(0);
    const changed = { ...ALLOWED, tool_input: { to: ["bob@example.com"] }, tool_use_id: "same" };
    expectDenied(await hook(event(changed)), "IDEMPOTENCY");
  });

  test("denies what needs a review that nobody gives, and names the decision", async () => {
    expectDenied(await hook(event(REVIEWED)), /needs a review, .*\(decision [0-9a-f-]{36}\)/);
  });

  test("waits for a review, and lets the host go on if it is approved", async () => {
    await addReviewer("ann", { DATACRAWL_DATA_DIR: service.dataDir });
    const done = new AbortController();
    const approving = approveAll(await signInAs("ann", service.adminUrl), done.signal);
    try {
      const approved = await hook(event(REVIEWED), {}, ["--review-timeout", "50s"]);
      expect([approved.status, outputOf(approved)]).toEqual([
        0,
        { hookEventName: "PreToolUse", updatedInput: REVIEWED.tool_input },
      ]);
    } finally {
      done.abort();
      await approving;
    }
  });

  test("takes service and key from its flags, whatever the environment says", async () => {
    const flags = ["--key-file", keyFile, "--url", `http://127.0.0.1:${service.grpcPort}`];
    const elsewhere = { DATACRAWL_URL: "http://127.0.0.1:1", DATACRAWL_API_KEY: "nonsense" };
    expect((await hook(event(ALLOWED), { env: elsewhere }, flags)).status).toBe(0);
  });

  test.each<[string, Env, string]>([
    ["no service", { DATACRAWL_URL: "http://127.0.0.1:1" }, "SERVICE_UNAVAILABLE"],
    ["a URL that is none", { DATACRAWL_URL: "nonsense" }, "must be http"],
    ["no key", { DATACRAWL_API_KEY: "" }, "no credential"],
    ["a key that is none", { DATACRAWL_API_KEY: "nonsense" }, "must be dc_agent_"],
    [
      "a key that is unknown",
      { DATACRAWL_API_KEY: `dc_agent_demo_${"0".repeat(12)}_${"0".repeat(64)}` },
      "REQUEST_REFUSED",
    ],
    ["a file that is not there", { DATACRAWL_CA_FILE: "/nonexistent" }, "DATACRAWL_CA_FILE"],
  ])("denies with %s", async (_, changes, why) => {
    expectDenied(await hook(event(ALLOWED), { env: { ...env, ...changes } }), why);
  });

  test("denies with a key file that is not there", async () => {
    expectDenied(await hook(event(ALLOWED), {}, ["--key-file", "/nonexistent"]), "/nonexistent cannot be read");
  });

  test("denies within its own time while the service says nothing", async () => {
    const silent = await startSilent();
    try {
      const flags = ["--timeout", "2s", "--url", silent.url];
      expectDenied(await hook(event(ALLOWED), {}, flags), "DataCrawl: ");
    } finally {
      silent.close();
    }
  });

  test.each<[string, NonNullable<ProcessOptions["input"]>, string]>([
    ["nothing", "", "cannot be judged"],
    ["no JSON", "nonsense", "cannot be judged"],
    [
      "a member that occurs twice",
      event(ALLOWED).replace('"tool_input":', '"tool_input":{},"tool_input":'),
      "occurs twice",
    ],
    ["an event of another kind", event(ALLOWED).replace("PreToolUse", "Stop"), "answers PreToolUse alone"],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), "is not UTF-8"],
    ["more than it reads", Buffer.alloc(3 * 1024 * 1024, 0x20), "has more than"],
    ["a payload that is too large", event({ ...ALLOWED, tool_input: { to: "x".repeat(300_000) } }), "REQUEST_REFUSED"],
    ["a server with a host's name", event({ ...ALLOWED, tool_name: "mcp__claude-code__Bash" }), "has a host's name"],
  ])("denies if it reads %s", async (_, input, why) => {
    expectDenied(await hook(input), why);
  });

  test("denies if the host does not end what it writes", async () => {
    expectDenied(await hook({ open: event(ALLOWED) }, {}, ["--timeout", "2s"]), "did not end in time");
  });

  test.each<[string, readonly string[]]>([
    ["an unknown flag", ["hook", "claude-code", "--nonsense"]],
    ["a time that is none", ["hook", "claude-code", "--timeout", "soon"]],
    ["help instead of an answer", ["hook", "claude-code", "--help"]],
    ["an unknown host", ["hook", "claude-cod"]],
    ["no host", ["hook"]],
  ])("ends with the blocking status for %s", async (_, args) => {
    const { status, stdout } = await runBin(args, { env, input: event(ALLOWED) });
    expect(status).toBe(2);
    expect(stdout).not.toContain("updatedInput");
  });

  test.each([
    [
      "a module that cannot be loaded",
      "import { registerHooks } from 'node:module'; registerHooks({ resolve(s, c, next) { if (s.includes('answer.ts')) throw new Error('broken'); return next(s, c); } });",
    ],
    ["an error that nobody catches", "setImmediate(() => { throw new Error('unforeseen'); });"],
    ["a rejection that nobody catches", "Promise.reject(new Error('unforeseen'));"],
    ["an end in the middle", "setImmediate(() => process.exit(1));"],
    ["an end in the middle that claims success", "setImmediate(() => process.exit());"],
    ["a signal", "setImmediate(() => process.kill(process.pid, 'SIGTERM'));"],
    ["a guard that fails", "JSON.stringify = () => { throw new Error('unforeseen'); };"],
  ])("ends with the blocking status for %s", async (_, script) => {
    expect((await hook(event(ALLOWED), { imports: [moduleOf(script)] })).status).toBe(2);
  });

  test.each(["full", "closed"] as const)(
    "ends with the blocking status for an allow that cannot be printed: %s",
    async (sink) => {
      expect((await hook(event(ALLOWED), { stdout: sink })).status).toBe(2);
    },
  );

  describe("as it is installed", () => {
    const bin = join(import.meta.dirname, "../../bin/datacrawl.js");
    const ours = `${process.execPath} ${bin}`;
    const home = (): Env => ({ ...env, HOME: tempDir() });
    const install = (at: Env, command: string, ...flags: string[]): Promise<Ended> =>
      runBin(["hook", "install", "claude-code", "--yes", "--command", command, "--timeout", "30s", ...flags], {
        env: at,
      });
    const selfTest = async (at: Env): Promise<[number | null, Finding]> => {
      const { status, stdout } = await runBin(["hook", "test", "claude-code", "--json"], { env: at });
      return [status, (JSON.parse(stdout) as { commands: [Finding] }).commands[0]];
    };

    test("blocks a call that is denied, by a decision of the service", async () => {
      const at = home();
      await install(at, ours);
      expect(await selfTest(at)).toEqual([
        0,
        { command: expect.any(String), status: 2, decisionId: expect.stringMatching(/^[0-9a-f-]{36}$/), problem: null },
      ]);
    });

    test("blocks while the service cannot be asked, which the test says", async () => {
      const at = home();
      await install(at, ours, "--url", "http://127.0.0.1:1");
      expect(await selfTest(at)).toEqual([
        1,
        expect.objectContaining({
          status: 2,
          problem: expect.stringMatching(/nothing is decided.*SERVICE_UNAVAILABLE/s),
        }),
      ]);
    });

    test.each([
      ["a command that is missing", "/nonexistent/datacrawl"],
      ["a command that is killed", "sh -c 'kill -9 $$' datacrawl"],
      [
        "a command that runs out of memory",
        `${process.execPath} --max-old-space-size=16 -e 'const a = []; for (;;) a.push([...a])' datacrawl`,
      ],
      ["a command that ends with 1", "sh -c 'exit 1' datacrawl"],
    ])("blocks with %s", async (_, command) => {
      const at = home();
      await install(at, command);
      expect(await selfTest(at)).toEqual([1, expect.objectContaining({ status: 2, decisionId: null })]);
    });

    test("is found to be open where it does not block, or where a rule allows everything", async () => {
      const at = home();
      await install(at, "exit 3; datacrawl");
      expect(await selfTest(at)).toEqual([
        1,
        expect.objectContaining({ status: 3, problem: expect.stringContaining("the host runs the tool") }),
      ]);
      await install(at, "exit 0; datacrawl");
      expect(await selfTest(at)).toEqual([
        1,
        expect.objectContaining({ status: 0, problem: expect.stringContaining("allow tools by their names") }),
      ]);
    });

    test("is not there before it is installed, and is turned off by a setting, which the test says", async () => {
      const at = home();
      const { status, stderr } = await runBin(["hook", "test", "claude-code"], { env: at });
      expect([status, stderr]).toEqual([1, expect.stringContaining("no hook is installed")]);
      await install(at, ours);
      const file = join(at["HOME"] ?? "", ".claude/settings.json");
      writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), disableAllHooks: true }));
      const off = await runBin(["hook", "test", "claude-code"], { env: at });
      expect([off.status, off.stdout]).toEqual([1, expect.stringContaining('"disableAllHooks" turns off every hook')]);
    });
  });
});
