import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runBin } from "../support/process.ts";
import { demoKey, discard, type Env, type ServiceProcess, startService, tempDir } from "../support/service.ts";

/** Five seconds from its start are short for a process on a busy machine. */
const PATIENT = ["authorize", "--timeout", "1m"];
const ALLOWED = [...PATIENT, "--tool", "gmail.send_email", "--payload", '{"to":["ann@example.com"]}'];
const REVIEWED = [...PATIENT, "--tool", "stripe.refund", "--payload", '{"amount":250,"currency":"EUR"}'];
const DENIED = [...PATIENT, "--tool", "shell.exec", "--payload", "{}"];

/** A module that breaks the process before, or while, the command runs. */
const moduleOf = (script: string): string => `data:text/javascript,${encodeURIComponent(script)}`;

describe("authorize --exit-2", () => {
  let service: ServiceProcess;
  let env: Env;
  beforeAll(async () => {
    service = await startService();
    env = {
      DATACRAWL_DATA_DIR: service.dataDir,
      DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}`,
      DATACRAWL_API_KEY: demoKey(service.dataDir),
    };
  });
  afterAll(() => discard(service));

  test("is 0 for an allow", async () => {
    expect(await runBin([...ALLOWED, "--exit-2"], { env })).toMatchObject({ status: 0, stderr: "" });
  });

  test("is 2 for every other answer, with the reason on stderr, where hosts look for it", async () => {
    const denied = await runBin([...DENIED, "--exit-2"], { env });
    expect([denied.status, denied.stderr]).toEqual([2, expect.stringMatching(/^datacrawl: deny {2}RULE_DENIED/)]);
    const reviewed = await runBin([...REVIEWED, "--exit-2", "--json"], { env });
    expect([reviewed.status, reviewed.stderr]).toEqual([2, expect.stringMatching(/^datacrawl: needs_review/)]);
    expect((await runBin(REVIEWED, { env })).status).toBe(3);
  });

  test.each<[string, readonly string[], Env]>([
    ["a flag that is unknown", [...ALLOWED, "--exit-2", "--nonsense"], {}],
    ["a flag that is missing", ["authorize", "--tool", "x", "--exit-2"], {}],
    ["a payload that is no JSON", ["authorize", "--tool", "x", "--payload", "x", "--exit-2"], {}],
    ["a command that is misspelt", ["authorise", "--exit-2"], {}],
    ["help instead of an answer", ["authorize", "--help", "--exit-2"], {}],
    ["a version instead of an answer", ["--version", "--exit-2"], {}],
    ["no service", [...ALLOWED, "--exit-2"], { DATACRAWL_URL: "http://127.0.0.1:1" }],
    ["a URL that is none", [...ALLOWED, "--exit-2"], { DATACRAWL_URL: "nonsense" }],
    ["a credential that is none", [...ALLOWED, "--exit-2"], { DATACRAWL_API_KEY: "nonsense" }],
    ["no credential", [...ALLOWED, "--exit-2"], { DATACRAWL_API_KEY: "", DATACRAWL_DATA_DIR: tempDir() }],
    ["a file that is not there", [...ALLOWED, "--exit-2"], { DATACRAWL_CA_FILE: "/nonexistent" }],
  ])("is 2 for %s", async (_, args, changes) => {
    const { status, stdout } = await runBin(args, { env: { ...env, ...changes } });
    expect(status).toBe(2);
    expect(stdout).not.toMatch(/^allow/m);
  });

  test.each([
    [
      "a module that cannot be loaded",
      "process.versions.node; import { registerHooks } from 'node:module'; registerHooks({ resolve(s, c, next) { if (s.includes('program.ts')) throw new Error('broken'); return next(s, c); } });",
    ],
    ["an error that nobody catches", "setImmediate(() => { throw new Error('unforeseen'); });"],
    ["a rejection that nobody catches", "Promise.reject(new Error('unforeseen'));"],
    ["an end in the middle", "setImmediate(() => process.exit(1));"],
    ["an end in the middle that claims success", "setImmediate(() => process.exit());"],
    ["a signal", "setImmediate(() => process.kill(process.pid, 'SIGTERM'));"],
  ])("is 2 for %s", async (_, script) => {
    expect((await runBin([...ALLOWED, "--exit-2"], { env, imports: [moduleOf(script)] })).status).toBe(2);
  });

  test("is 2 for an allow that cannot be printed", async () => {
    expect((await runBin([...ALLOWED, "--exit-2"], { env, stdout: "full" })).status).toBe(2);
  });
});

const EVENT = JSON.stringify({
  session_id: "session",
  hook_event_name: "PreToolUse",
  tool_name: "Bash",
  tool_input: {},
  tool_use_id: "call",
});

/** Prints what was loaded, when the process ends. */
const COUNTER = moduleOf(`
  import { registerHooks } from "node:module";
  const packages = new Set();
  registerHooks({ load(url, context, next) {
    const found = /node_modules\\/((@[^/]+\\/)?[^/]+)/.exec(url);
    if (found !== null) packages.add(found[1]);
    return next(url, context);
  } });
  process.on("exit", () => {
    const internal = process.moduleLoadList.filter((name) => /sqlite|undici/.test(name));
    process.stderr.write(JSON.stringify({ packages: [...packages].sort(), internal }));
  });
`);

describe("a command loads what it needs", () => {
  const LIGHT = ["@bufbuild/protobuf", "commander"];
  const ADMIN = ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-node", "commander", "croner"];

  test.each<[string, readonly string[], readonly string[]]>([
    ["authorize, of a service that is not there", DENIED, LIGHT],
    ["authorize --help", ["authorize", "--help"], LIGHT],
    ["mcp, of a client that has ended", ["mcp", "--name", "x", "--", "cat"], LIGHT],
    ["hook, of a service that is not there", ["hook", "claude-code"], LIGHT],
    ["--help", ["--help"], ["commander"]],
    ["agent list", ["agent", "list", "--admin-url", "http://127.0.0.1:1"], ADMIN],
    ["overview", ["overview", "--admin-url", "http://127.0.0.1:1"], ADMIN],
  ])("%s", async (_, args, packages) => {
    const env = {
      DATACRAWL_URL: "http://127.0.0.1:1",
      DATACRAWL_API_KEY: `dc_agent_demo_${"0".repeat(12)}_${"0".repeat(64)}`,
    };
    const { stderr } = await runBin(args, { env, imports: [COUNTER], input: EVENT });
    const [, loaded = "{}"] = /(\{"packages".*\})$/.exec(stderr) ?? [];
    expect(JSON.parse(loaded)).toMatchObject({ packages });
    if (packages === LIGHT) expect(JSON.parse(loaded)).toMatchObject({ internal: [] });
  });
});
