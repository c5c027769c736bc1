// @module-tag full
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, demoKey, discard, type Env, type ServiceProcess, startService } from "../support/service.ts";
import { runBin } from "../support/process.ts";

/** One line that says what is wrong, and no stack. */
const ONE_LINE = /^datacrawl: standard output cannot be written: ENOSPC[^\n]*\n$/;
const EXPLAIN = ["policy", "explain", "--tool", "shell.exec", "--payload", '{"command":"rm"}'];

/** Commands of every kind, and the status that each has however its output fares. */
const OFFLINE: readonly [string, readonly string[], number][] = [
  ["help", ["--help"], 0],
  ["help of a command", ["audit", "verify", "--help"], 0],
  ["policy check", ["policy", "check", "policies"], 0],
  ["policy test", ["policy", "test", "policies"], 0],
  ["policy explain, which denies", EXPLAIN, 2],
  ["policy explain --json, which denies", [...EXPLAIN, "--json"], 2],
  ["conformance list, which is long", ["conformance", "list"], 0],
];

describe("without a service", () => {
  test.each(OFFLINE)("a reader that has gone away is no failure and no success: %s", async (_, args, status) => {
    expect(await runBin(args, { stdout: "closed" })).toEqual({ status, stdout: "", stderr: "" });
  });

  test.each(OFFLINE)("a full device is one line and a failure: %s", async (_, args, status) => {
    const ended = await runBin(args, { stdout: "full" });
    expect(ended).toEqual({ status: status || 1, stdout: "", stderr: expect.stringMatching(ONE_LINE) });
  });

  test.each([
    ["closed", ["policy", "check", "/nonexistent"], 1],
    ["closed", ["nonsense"], 64],
    ["closed", ["policy", "check", "policies"], 0],
    ["full", ["policy", "check", "/nonexistent"], 1],
    ["full", ["nonsense"], 64],
    ["full", ["policy", "check", "policies"], 0],
  ] as const)("errors that cannot be written leave the status alone: %s, %j", async (stderr, args, status) => {
    expect((await runBin(args, { stderr })).status).toBe(status);
  });
});

describe("with a service", () => {
  let service: ServiceProcess;
  let env: Env;
  beforeAll(async () => {
    service = await startService();
    env = {
      DATACRAWL_DATA_DIR: service.dataDir,
      DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}`,
      DATACRAWL_API_KEY: demoKey(service.dataDir),
    };
    await ask(service.connectUrl, demoKey(service.dataDir), { tool: "shell.exec", payload: {}, idempotencyKey: "1" });
  });
  afterAll(() => discard(service));

  const ONLINE: readonly [string, number][] = [
    ["overview", 0],
    ["agent list", 0],
    ["agent list --json", 0],
    ["decision list", 0],
    ["review list", 0],
    ["audit status", 0],
    ["audit key", 0],
    ["authorize --tool shell.exec --payload {}", 2],
    ["authorize --tool shell.exec --payload {} --json", 2],
  ];

  test.each(ONLINE)("a reader that has gone away changes no status: %s", async (line, status) => {
    expect(await runBin(line.split(" "), { env, stdout: "closed" })).toEqual({ status, stdout: "", stderr: "" });
  });

  test.each(ONLINE)("a full device is one line and a failure: %s", async (line, status) => {
    const ended = await runBin(line.split(" "), { env, stdout: "full" });
    expect(ended).toEqual({ status: status || 1, stdout: "", stderr: expect.stringMatching(ONE_LINE) });
  });

  test("an allow that cannot be printed is a failure", async () => {
    const allowed = ["authorize", "--tool", "gmail.send_email", "--payload", '{"to":["ann@example.com"]}'];
    expect((await runBin(allowed, { env })).status).toBe(0);
    expect((await runBin(allowed, { env, stdout: "full" })).status).toBe(1);
  });

  test("following decisions ends when nobody reads them any more", async () => {
    const tail = runBin(["tail"], { env, stdout: "closed" });
    const ended = tail.then((result) => result);
    const key = demoKey(service.dataDir);
    // It hears of the closed pipe when it has something to write.
    let isOver = false;
    void ended.then(() => (isOver = true));
    for (let number = 0; !isOver; number++) {
      await ask(service.connectUrl, key, { tool: "shell.exec", payload: {}, idempotencyKey: `tail-${number}` });
    }
    expect(await ended).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  test("an export that nobody reads is cut off, and says so in its status", async () => {
    const ended = await runBin(["audit", "export"], { env, stdout: "full" });
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain("datacrawl: standard output cannot be written: ENOSPC");
    expect(ended.stderr).not.toMatch(/^ +at /m);
  });
});

test("commands write through their io alone, which knows of closed and full streams", () => {
  const dir = join(import.meta.dirname, "../../src/cli");
  const own = new Set(["terminal.ts", "progress.ts"]);
  const files = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  expect(files.length).toBeGreaterThan(30);
  for (const name of files.filter((file) => !own.has(file))) {
    expect([name, readFileSync(join(dir, name), "utf8")]).not.toEqual([
      name,
      expect.stringMatching(/process\.std(out|err)\.write|console\./),
    ]);
  }
});
