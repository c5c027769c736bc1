// @module-tag full
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { waitUntil } from "../support/net.ts";
import { runBin } from "../support/process.ts";
import { cleanEnv, demoKey, discard, type Env, type ServiceProcess, startService } from "../support/service.ts";
import { ownProcess, showErrors } from "../support/owned.ts";

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

async function circuits(): Promise<readonly { readonly state: string }[]> {
  return JSON.parse((await runBin(["circuit", "list", "--json"], { env })).stdout);
}

/** An agent's process that asks once, and closes its guard when it is told to. */
const AGENT = `
  import { DataCrawl } from "@datacrawl/client";
  const client = new DataCrawl();
  await client.authorize({ tool: "shell.exec", payload: {} });
  process.stdin.once("data", async () => {
    await client.close();
    process.exit();
  });
`;

test("a process that asks once leaves no circuit behind, also if its question was not answered", async () => {
  const question = ["authorize", "--tool", "shell.exec", "--payload", "{}"];
  for (let times = 0; times < 3; times++) expect((await runBin(question, { env })).status).toBe(2);
  service.child.kill("SIGSTOP");
  const late = await runBin([...question, "--timeout", "2s"], { env });
  service.child.kill("SIGCONT");
  expect(late.stdout).toContain("DEADLINE_EXCEEDED");
  // What it said at its end arrives now, and is answered before what is asked now.
  expect(await circuits()).toEqual([]);
}, 120_000);

test("a guard that is closed is gone from the list of circuits", async () => {
  const agent = showErrors(
    ownProcess(
      spawn(process.execPath, ["--input-type=module", "--eval", AGENT], {
        env: cleanEnv(env),
        stdio: ["pipe", "ignore", "pipe"],
      }),
    ),
  );
  try {
    const isReported = async (): Promise<boolean> => agent.exitCode !== null || (await circuits()).length === 1;
    await waitUntil(isReported, 60_000, "the agent's circuit was not reported");
    expect(agent.exitCode).toBeNull();
    agent.stdin.write("close\n");
    await once(agent, "exit");
    expect(await circuits()).toEqual([]);
  } finally {
    agent.kill("SIGKILL");
  }
}, 120_000);
