// @module-tag full
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { adapter, PATIENTLY, report } from "../../conformance/test/support/command.ts";
import { findGo } from "../support/go.ts";
import { freePort } from "../support/net.ts";
import { ownProcess } from "../support/owned.ts";
import {
  cleanEnv,
  demoKey,
  discard,
  type Env,
  type ServiceProcess,
  startService,
  tempDir,
} from "../support/service.ts";
import { type SidecarProcess, startSidecar } from "../support/sidecar.ts";

const go = findGo();
const DIR = "clients/go";

/** Runs a command of Go's toolchain in the client's module. @returns what it printed */
async function run(command: string, args: readonly string[], env: Env = {}): Promise<string> {
  const child = ownProcess(spawn(command, args, { cwd: DIR, env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] }));
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  if ((await ended) !== 0) throw new Error(`${command} ${args.join(" ")}:\n${out}${err}`);
  return out;
}

describe.skipIf(go === null)("the client for Go", () => {
  test("is formatted, and go vet finds nothing", { timeout: 300_000 }, async () => {
    const generatedToo = await run("gofmt", ["-l", "."]);
    expect(generatedToo).toBe("");
    await run("go", ["vet", "./..."]);
    await run("go", ["mod", "verify"]);
  });

  describe("beside a service and sidecars", () => {
    let service: ServiceProcess;
    const sidecars: SidecarProcess[] = [];
    let env: Env;

    beforeAll(async () => {
      service = await startService();
      const key = demoKey(service.dataDir);
      const socket = join(tempDir(), "sidecar.sock");
      const start = async (port: number, more: Env = {}): Promise<SidecarProcess> => {
        const sidecar = await startSidecar(port, key, more);
        sidecars.push(sidecar);
        return sidecar;
      };
      const besideService = await start(service.grpcPort);
      await start(service.grpcPort, { DATACRAWL_SIDECAR_GRPC_ADDR: `unix:${socket}` });
      const alone = await start(await freePort());
      env = {
        CI: "true",
        DATACRAWL_TEST_SERVICE: `http://127.0.0.1:${service.grpcPort}`,
        DATACRAWL_TEST_KEY: key,
        DATACRAWL_TEST_SIDECAR: `127.0.0.1:${besideService.grpcPort}`,
        DATACRAWL_TEST_SIDECAR_SOCKET: `unix:${socket}`,
        DATACRAWL_TEST_SIDECAR_ALONE: `127.0.0.1:${alone.grpcPort}`,
      };
    });
    afterAll(async () => {
      await Promise.all(sidecars.map((one) => one.kill("SIGTERM")));
      await discard(service);
    });

    test("passes its own tests, with no one skipped", { timeout: 300_000 }, async () => {
      const printed = await run("go", ["test", "-count=1", "-v", "./..."], env);
      expect(printed).toContain("--- PASS: TestLiveAnActionRunsOnce");
      expect(printed).toContain("--- PASS: TestSnippetBareStub");
      expect(printed).not.toContain("--- SKIP");
    });
  });

  describe("against the conformance kit", () => {
    const client = join(tempDir(), "conformanceadapter");

    beforeAll(() => {
      const built = spawnSync("go", ["build", "-o", client, "./internal/conformanceadapter"], { cwd: DIR });
      if (built.status !== 0) throw new Error(built.stderr.toString());
    });

    const through = adapter("test/clients/through-sidecar-adapter.ts", client);
    // At once: a client waits most of the time, for servers that say nothing.
    test.concurrent.each([
      ["Authorize, asking the server", client, "Authorize", 1852],
      ["BeginExecution, asking the server", client, "BeginExecution", 1331],
      ["Authorize, through a sidecar", through, "Authorize", 1852],
      ["BeginExecution, through a sidecar", through, "BeginExecution", 1331],
    ] as const)("is right in each case of %s", { timeout: 600_000 }, async (_, command, method, cases) => {
      const { failures, passed } = await report(command, "--method", method, ...PATIENTLY);
      expect(failures).toEqual([]);
      expect(passed).toBe(cases);
    });
  });
});
