// @module-tag full
import { type ChildProcess, type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { waitUntil } from "../support/net.ts";
import {
  ask,
  cleanEnv,
  demoKey,
  discard,
  type Env,
  runCli,
  type ServiceProcess,
  startService,
  tempDir,
} from "../support/service.ts";
import { ownProcess } from "../support/owned.ts";

const ALLOW = "rules: [{ id: ok, tools: [t], effect: allow }]\n";
const DENY = "rules: [{ id: no, tools: [t], effect: deny }]\n";

interface Subject {
  readonly dir: string;
  readonly service: ServiceProcess;
  readonly decision: () => Promise<unknown>;
  readonly page: (path: string) => Promise<string>;
}

let asked = 0;

async function start(env: Env = {}): Promise<Subject> {
  const dir = tempDir();
  writeFileSync(join(dir, "a.yaml"), ALLOW);
  const service = await startService({ DATACRAWL_POLICY_DIR: dir, ...env });
  const key = demoKey(service.dataDir);
  const request = () => ({ tool: "t", payload: {}, idempotencyKey: `key-${asked++}` });
  return {
    dir,
    service,
    decision: async () => (await ask(service.connectUrl, key, request())).body["decision"],
    page: async (path) => await (await fetch(service.connectUrl + path)).text(),
  };
}

/** Within a file of metrics. */
function metric(page: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(page)?.[1]);
}

describe("a service whose policy directory holds something else than files", () => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await start();
  });
  afterAll(() => discard(subject?.service));

  test("says what it is, decides by the last good policies, and hears of the next when it is gone", async () => {
    const { dir, service, decision, page } = subject;
    const pipe = join(dir, "z.yaml");
    expect(await decision()).toBe("DECISION_ALLOW");
    expect(spawnSync("mkfifo", [pipe]).status).toBe(0);
    writeFileSync(join(dir, "deny.yaml"), DENY);
    await waitUntil(
      async () => (await page("/readyz")).includes("z.yaml:1:1: this is a named pipe"),
      20_000,
      "/readyz is silent",
    );
    expect((await fetch(`${service.connectUrl}/readyz`)).status).toBe(200);
    expect(metric(await page("/metrics"), "datacrawl_policies_refused")).toBe(1);
    expect(await decision()).toBe("DECISION_ALLOW");
    rmSync(pipe);
    await waitUntil(async () => (await decision()) === "DECISION_DENY", 20_000, "the deny does not bind");
    expect(metric(await page("/metrics"), "datacrawl_policies_refused")).toBe(0);
  });

  test("is not misled by a rule file whose name is in capitals", async () => {
    const { dir, page } = subject;
    renameSync(join(dir, "deny.yaml"), join(dir, "deny.YAML"));
    await waitUntil(
      async () => (await page("/readyz")).includes('the name \\"deny.YAML\\"'),
      20_000,
      "/readyz is silent",
    );
    expect(await subject.decision()).toBe("DECISION_DENY");
    renameSync(join(dir, "deny.YAML"), join(dir, "deny.yaml"));
    await waitUntil(async () => (await page("/readyz")).includes(`"policy":"ok"`), 20_000, "it is not mended");
  });

  test("warns in its log of what it does not read", async () => {
    const { dir, service } = subject;
    writeFileSync(join(dir, "deny.yaml.bak"), DENY);
    service.child.kill("SIGHUP");
    await waitUntil(() => service.output().err.includes("deny.yaml.bak:1:1: this is not read"), 20_000, "no warning");
  });

  test("ends in time with a pipe there", async () => {
    const { dir, service, page } = subject;
    expect(spawnSync("mkfifo", [join(dir, "z.yaml")]).status).toBe(0);
    await waitUntil(async () => (await page("/readyz")).includes("z.yaml"), 20_000, "/readyz is silent");
    expect(await service.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  });
});

const MAIN = join(import.meta.dirname, "../../src/main.ts");

function startCli(args: readonly string[], env: Env): ChildProcessByStdio<null, null, Readable> {
  return ownProcess(
    spawn(process.execPath, [MAIN, ...args], { env: cleanEnv(env), stdio: ["ignore", "ignore", "pipe"] }),
  );
}

const COMMANDS = [
  ["check", []],
  ["test", []],
  ["explain", ["--tool", "t", "--payload", "{}"]],
] as const;

/** All at once, for each waits for the time of a read. */
async function commandsEnd(dir: string, env: Env): Promise<void> {
  const ended = COMMANDS.map(async ([command, flags]) => {
    const child = startCli(["policy", command, ...flags], { ...env, DATACRAWL_POLICY_DIR: dir });
    let printed = "";
    child.stderr.on("data", (chunk: Buffer) => (printed += chunk.toString()));
    const code = await new Promise((resolve) => child.once("close", resolve));
    return [command, code, printed];
  });
  const wanted = COMMANDS.map(([name]) => [name, 1, expect.stringContaining(`${dir}: reading took longer than 10 s`)]);
  expect(await Promise.all(ended)).toEqual(wanted);
}

/** Wherever somebody may look. */
async function reportsHang({ service, decision, page, dir }: Subject): Promise<void> {
  const wanted = `${dir}: reading took longer than 10 s`;
  await waitUntil(async () => (await page("/readyz")).includes(`not in force: ${wanted}`), 40_000, "/readyz is silent");
  expect((await fetch(`${service.connectUrl}/readyz`)).status).toBe(200);
  const metrics = await page("/metrics");
  expect(metric(metrics, "datacrawl_policies_refused")).toBe(1);
  expect(metric(metrics, "datacrawl_policies_read_age_seconds")).toBeGreaterThan(10);
  await expect.poll(() => service.output().err).toContain("policies could not be read; the last good ones stay active");
  const cli = (...args: string[]) => runCli(args, { DATACRAWL_DATA_DIR: service.dataDir });
  expect(cli("overview").stdout).toContain(`warning       the newest policies are not in force: ${wanted}`);
  expect(cli("policy", "active").stderr).toContain(`Newer files are not in force: ${wanted}`);
  expect(await decision()).toBe("DECISION_ALLOW");
}

/** A file system that never answers; null where this user may not mount one. */
async function mountHung(): Promise<{ path: string; server: ChildProcess } | null> {
  const path = tempDir();
  const program = join(import.meta.dirname, "../support/hung-mount.py");
  const server = ownProcess(spawn("python3", [program, path], { stdio: ["pipe", "pipe", "ignore"] }), "SIGTERM");
  const mounted = await new Promise((resolve) => {
    server.stdout.once("data", () => resolve(true));
    server.once("exit", () => resolve(false));
    server.once("error", () => resolve(false));
  });
  return mounted === true ? { path, server } : null;
}

const mount = await mountHung();
if (mount === null) process.stderr.write("\nSKIPPED: a file system that hangs, for this user may not mount one\n\n");

describe.skipIf(mount === null)("a service whose policies lie on a file system that hangs", { tags: ["full"] }, () => {
  const { path, server } = mount as NonNullable<typeof mount>;
  let subject: Subject;
  beforeAll(async () => {
    subject = await start();
  });
  afterAll(async () => {
    await discard(subject?.service);
    server.stdin?.end();
    await new Promise((resolve) => server.once("exit", resolve));
  });

  test("says so, decides by the last good policies, and recovers when the file is gone", async () => {
    const { dir, service, decision, page } = subject;
    const link = join(dir, "z.yaml");
    symlinkSync(join(path, "z.yaml"), link);
    writeFileSync(join(dir, "deny.yaml"), DENY);
    await reportsHang(subject);
    for (let n = 0; n < 20; n++) service.child.kill("SIGHUP");
    expect(await decision()).toBe("DECISION_ALLOW");
    rmSync(link);
    await waitUntil(async () => (await decision()) === "DECISION_DENY", 40_000, "the deny does not bind");
    await waitUntil(async () => (await page("/readyz")).includes(`"policy":"ok"`), 20_000, "/readyz still complains");
  });

  test("ends in time while a read hangs", async () => {
    const { dir, service, page } = subject;
    symlinkSync(join(path, "z.yaml"), join(dir, "z.yaml"));
    await waitUntil(async () => (await page("/readyz")).includes("reading took longer"), 40_000, "/readyz is silent");
    expect(await service.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  });

  test("does not start, and says why, if the directory itself lies there", async () => {
    const service = await startService({ DATACRAWL_POLICY_DIR: join(path, "policies") }, { ready: false });
    onTestFinished(() => discard(service));
    const code = await new Promise((resolve) => service.child.once("exit", resolve));
    expect(code).toBe(1);
    // It can have ended before what it printed has come through the pipe.
    await expect.poll(() => service.output().err).toContain("policies: reading took longer than 10 s");
  });

  test("is told to authors by each command, which ends", async () => {
    await commandsEnd(path, {});
  });
});

describe("a service whose reader of policies is stopped in the middle of a read", { tags: ["full"] }, () => {
  let subject: Subject | undefined;
  beforeEach(() => {
    subject = undefined;
  });
  afterEach(() => discard(subject?.service));

  test("says so, decides by the last good policies, and reads on with another", async () => {
    // Two reads at the start, then a look every two seconds.
    subject = await start({ DATACRAWL_TEST_FAILPOINT: "policy-reading:6:stop" });
    const { page, dir, decision } = subject;
    // In the log: /readyz, which looks each second, may miss the moment until the next reader has read.
    await waitUntil(() => subject?.service.output().err.includes(`${dir}: reading took`) === true, 40_000, "no log");
    expect(await decision()).toBe("DECISION_ALLOW");
    await waitUntil(async () => (await page("/readyz")).includes(`"policy":"ok"`), 20_000, "it does not recover");
    expect(await subject.service.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  });

  test("reads on after that process was killed", async () => {
    subject = await start({ DATACRAWL_TEST_FAILPOINT: "policy-reading:4" });
    const { dir, decision, service } = subject;
    await waitUntil(() => service.output().err.includes("the process that reads it ended (SIGKILL)"), 20_000, "no log");
    writeFileSync(join(dir, "deny.yaml"), DENY);
    await waitUntil(async () => (await decision()) === "DECISION_DENY", 20_000, "the deny does not bind");
  });

  test("does not start, and says why, if the first read hangs", async () => {
    const dir = tempDir();
    writeFileSync(join(dir, "a.yaml"), ALLOW);
    const env = { DATACRAWL_POLICY_DIR: dir, DATACRAWL_TEST_FAILPOINT: "policy-reading:1:stop" };
    const service = await startService(env, { ready: false });
    onTestFinished(() => discard(service));
    const { code } = await new Promise<{ code: number | null }>((resolve) =>
      service.child.once("exit", (exitCode) => resolve({ code: exitCode })),
    );
    expect(code).toBe(1);
    await expect.poll(() => service.output().err).toContain(`${dir}: reading took longer than 10 s`);
  });
});

describe("the commands for authors of policies", () => {
  test("end where a read hangs, and say so", { tags: ["full"] }, async () => {
    const dir = tempDir();
    writeFileSync(join(dir, "a.yaml"), ALLOW);
    await commandsEnd(dir, { DATACRAWL_TEST_FAILPOINT: "policy-reading:1:stop" });
  });

  test.each(COMMANDS)("`policy %s` refuses what the service refuses", (command, flags) => {
    const dir = tempDir();
    writeFileSync(join(dir, "a.yaml"), ALLOW);
    writeFileSync(join(dir, "a_test.yaml"), "tests: [{ name: one, tool: t, expect: allow, rule: ok }]\n");
    const run = () => runCli(["policy", command, ...flags], { DATACRAWL_POLICY_DIR: dir });
    expect(run().status).toBe(0);
    expect(spawnSync("mkfifo", [join(dir, "z.yaml")]).status).toBe(0);
    mkdirSync(join(dir, "y.json"));
    writeFileSync(join(dir, "x.YAML"), DENY);
    const { status, stderr } = run();
    expect(status).toBe(1);
    expect(stderr).toContain("z.yaml:1:1: this is a named pipe");
    expect(stderr).toContain('the name "y.json" does not end in ".yaml"');
    expect(stderr).toContain('the name "x.YAML" does not end in ".yaml"');
  });
});
