// @module-tag full
import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ownProcess } from "../support/owned.ts";
import { cleanEnv, demoKey, discard, type ServiceProcess, startService } from "../support/service.ts";

const CHECK = join(import.meta.dirname, "../../clients/python/check-integrations.sh");
const FRAMEWORKS = ["claude_agent_sdk", "crewai", "google_adk", "langchain", "openai_agents", "pydantic_ai"];

describe("the adapters for Python", () => {
  let service: ServiceProcess;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => discard(service));

  test("pass their tests with the real frameworks and the real service", { timeout: 900_000 }, async () => {
    const env = {
      DATACRAWL_TEST_URL: `http://127.0.0.1:${service.grpcPort}`,
      DATACRAWL_TEST_KEY: demoKey(service.dataDir),
    };
    const child = ownProcess(spawn("bash", [CHECK], { env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] }));
    const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
    const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
    process.stdout.write(out);
    expect(code, out + err).toBe(0);
    for (const name of FRAMEWORKS) expect(out).toMatch(new RegExp(`^=== ${name} [^=]*\\b[1-9]\\d* passed`, "m"));
    expect(out).not.toMatch(/skipped|xfailed|deselected/);
  });
});
