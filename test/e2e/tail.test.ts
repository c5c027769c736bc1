// @module-tag full
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { makeCluster } from "../support/cluster.ts";
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
} from "../support/service.ts";
import { ownProcess } from "../support/owned.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");
const services: ServiceProcess[] = [];
const tails: ChildProcess[] = [];
afterEach(async () => {
  for (const tail of tails.splice(0)) tail.kill("SIGKILL");
  for (const service of services.splice(0)) await discard(service);
});

interface Tail {
  readonly out: () => string;
  readonly err: () => string;
}

function tail(env: Env, ...args: string[]): Tail {
  const child = ownProcess(
    spawn(process.execPath, [MAIN, "tail", ...args], { env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] }),
  );
  tails.push(child);
  const printed = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => (printed.out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (printed.err += chunk.toString()));
  return { out: () => printed.out, err: () => printed.err };
}

const idsOf = ({ out }: Tail): string[] =>
  out()
    .split("\n")
    .filter((line) => line.endsWith("}"))
    .map((line) => (JSON.parse(line) as { decisionId: string }).decisionId);

async function start(env: Env): Promise<ServiceProcess> {
  const service = await startService(env);
  services.push(service);
  return service;
}

async function decide(service: ServiceProcess, key: string, tool = "shell.exec"): Promise<string> {
  const request = { tool, payload: {}, idempotencyKey: crypto.randomUUID() };
  const { body } = await ask(service.connectUrl, key, request);
  return String(body["decisionId"]);
}

/** Decides until the first one is shown: then the tail follows. */
async function inTouch(following: Tail, service: ServiceProcess, key: string): Promise<void> {
  const seen = idsOf(following).length;
  await waitUntil(
    async () => {
      await decide(service, key);
      return idsOf(following).length > seen;
    },
    30_000,
    `the tail does not follow: ${following.err()}`,
  );
}

test("a tail shows what any replica decides, once", async () => {
  const cluster = await makeCluster();
  if (cluster === null) return;
  const [one, other] = [await start(cluster.env), await start(cluster.env)];
  const following = tail({ ...cluster.env, DATACRAWL_DATA_DIR: one.dataDir }, "--json", "--agent", "racer");
  await inTouch(following, one, cluster.agentKey);
  const expected: string[] = [];
  for (let round = 0; round < 10; round++) {
    expected.push(await decide(round % 2 === 0 ? one : other, cluster.agentKey));
  }
  await waitUntil(() => expected.every((id) => idsOf(following).includes(id)), 30_000, "not all were shown");
  expect(new Set(idsOf(following)).size).toBe(idsOf(following).length);
  expect(following.err()).toBe("");
}, 120_000);

test("a tail says when it has lost touch, and goes on where it was; what it shows is harmless", async () => {
  const service = await start({});
  const key = demoKey(service.dataDir);
  const env = { DATACRAWL_DATA_DIR: service.dataDir };
  const following = tail(env, "--json");
  await inTouch(following, service, key);
  await service.kill("SIGKILL");
  await waitUntil(() => following.err().includes("Lost the connection"), 40_000, "it did not notice");
  const next = await start({ ...env, DATACRAWL_CONNECT_ADDR: `127.0.0.1:${service.connectPort}` });
  const missed = await decide(next, key, "a\u001b[31mb\u202e");
  await waitUntil(() => idsOf(following).includes(missed), 30_000, `it did not go on: ${following.err()}`);
  await expect.poll(following.err).toContain("In touch again.");
  expect(following.out()).toContain("a\\u001b[31mb\\u202e");
  expect(following.out()).not.toMatch(/[\u001b\u202e]/);
  const overview = runCli(["overview", "--json"], env);
  expect(JSON.parse(overview.stdout)).toMatchObject({
    queueDepth: 0,
    pendingReviews: 0,
    warnings: [],
    policyVersion: expect.stringMatching(/^sha256:/),
  });
}, 150_000);

test("without a service there is nothing to follow, and a filter that means nothing is refused", async () => {
  const nowhere = runCli(["tail"], { DATACRAWL_DATA_DIR: "/nonexistent/datacrawl" });
  expect([nowhere.status, nowhere.stderr]).toEqual([1, expect.stringContaining("no service listens at")]);
  expect(runCli(["tail", "--decision", "maybe"]).status).toBe(64);
});
