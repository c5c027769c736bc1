import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { ownDirectory, ownProcess, releaseOwned } from "./owned.ts";
import { type ServiceProcess, startService, startServices, tempDir } from "./service.ts";

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
