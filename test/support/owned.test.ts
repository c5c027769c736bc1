import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ownDirectory, ownProcess, releaseOwned } from "./owned.ts";
import { cleanEnv, type ServiceProcess, startService, startServices, tempDir } from "./service.ts";

const SLEEP = "setInterval(() => {}, 1000)";

test("what a test file has left behind ends with it: processes, also those that ignore SIGTERM, and directories", async () => {
  const stubborn = `process.on("SIGTERM", () => {}); console.log("ready"); ${SLEEP}`;
  const children = [SLEEP, stubborn].map((source) => ownProcess(spawn(process.execPath, ["-e", source])));
  await once(children[1]?.stdout as NodeJS.ReadableStream, "data");
  const gone = ownProcess(spawn(process.execPath, ["-e", ""]));
  await once(gone, "exit");
  const directory = ownDirectory(tempDir());
  await releaseOwned();
  expect(children.map(({ signalCode }) => signalCode)).toEqual(["SIGKILL", "SIGKILL"]);
  expect(existsSync(directory)).toBe(false);
});

test("services that were started together are discarded if one of them does not start", async () => {
  let calls = 0;
  const started: ServiceProcess[] = [];
  const startOne = async (): Promise<ServiceProcess> => {
    if (calls++ === 2) throw new Error("no port");
    const service = await startService({}, { ready: false });
    started.push(service);
    return service;
  };
  await expect(startServices(3, startOne)).rejects.toThrow("no port");
  expect(started.map(({ child }) => child.signalCode)).toEqual(["SIGKILL", "SIGKILL"]);
});

const ROOT = join(import.meta.dirname, "../..");

test("a run whose suite fails in beforeAll ends, with status 1, and leaves no process of the suite", () => {
  const startedFile = join(tempDir(), "started");
  const config = join(ROOT, "test/fixtures/left-behind/vitest.config.ts");
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const given = { TEST_DATABASE_URL: undefined, TEST_REDIS_URL: undefined, STARTED_FILE: startedFile };
  const run = spawnSync(process.execPath, [vitest, "run", "--config", config], {
    env: { ...cleanEnv(), ...given },
    encoding: "utf8",
    timeout: 50_000,
  });
  expect(run.stdout + run.stderr).toContain("on purpose, with ");
  expect([run.status, run.signal]).toEqual([1, null]);
  const pids = readFileSync(startedFile, "utf8").trim().split("\n");
  expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
  expect(pids.length).toBeGreaterThanOrEqual(3);
});

/** All files of the tests, with their text. */
const sources = ["test", "clients/typescript/test", "conformance/test"].flatMap((directory) =>
  readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !/^mutants\/|(?:^|\/)node_modules\//.test(name))
    .map((name) => ({ name: join(directory, name), text: readFileSync(join(ROOT, directory, name), "utf8") })),
);

test("no test starts a process that is not owned, or that holds the output of the worker open", () => {
  const unowned = /(?<!ownProcess\(\s*)(?<![.\w])(?:spawn|fork|exec)\(|stdio: .*"inher[i]t"/;
  const wrong = sources.filter(({ text }) => text.includes('"node:child_process"') && unowned.test(text));
  expect(wrong.map(({ name }) => name)).toEqual([]);
});

test("what is left out of `npm test` is marked so that the sequencer of vitest.config.ts finds it", () => {
  const odd = /\btags: (?!\["full"\])|(?<!^\/\/ )@module-ta[g]/;
  expect(sources.filter(({ text }) => odd.test(text)).map(({ name }) => name)).toEqual([]);
});
