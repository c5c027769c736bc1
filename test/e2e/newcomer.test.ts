import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cli } from "../support/cli.ts";
import { freePort, waitUntil } from "../support/net.ts";
import { findPython } from "../support/python.ts";
import {
  ask,
  cleanEnv,
  demoKey,
  discard,
  runCli,
  type ServiceProcess,
  startService,
  tempDir,
} from "../support/service.ts";

const python = findPython("h2", "h2");
const inside = { to: ["ann@example.com"], subject: "Hi", body: "Hello" };
const outside = { to: ["eve@elsewhere.org"], subject: "Hi", body: "Hello" };

describe("from nothing to the first decisions, on the embedded default", () => {
  let service: ServiceProcess;
  let key: string;

  beforeAll(async () => {
    service = await startService({}, { fromNothing: true });
    key = demoKey(service.dataDir);
  });
  afterAll(() => discard(service));

  const authorize = (tool: string, payload: unknown, idempotencyKey: string) =>
    ask(service.connectUrl, key, { tool, payload, idempotencyKey });

  test("the printed curl line works as it is pasted", async () => {
    // The service can be ready before what it printed has come through the pipe.
    const isPrinted = (): boolean => /^ *curl .*\n$/ms.test(service.output().out);
    await waitUntil(isPrinted, 20_000, "the service does not print the line");
    const line = service.output().out.slice(service.output().out.indexOf("curl "));
    const { stdout } = spawnSync("bash", ["-c", line], { encoding: "utf8" });
    expect(JSON.parse(stdout)).toMatchObject({
      decision: "DECISION_ALLOW",
      reason: "REASON_RULE_ALLOWED",
      agentId: "demo",
      tool: "gmail.send_email",
      idempotencyKey: "send-1",
    });
  });

  test("the demo credential is for the service's user alone", () => {
    expect(statSync(join(service.dataDir, "demo-agent.key")).mode & 0o777).toBe(0o600);
  });

  test("allow, deny and needs_review come from the sample policies", async () => {
    expect((await authorize("gmail.send_email", inside, "a")).body["decision"]).toBe("DECISION_ALLOW");
    expect((await authorize("gmail.send_email", outside, "b")).body["decision"]).toBe("DECISION_NEEDS_REVIEW");
    expect((await authorize("no.such_tool", {}, "c")).body).toMatchObject({
      decision: "DECISION_DENY",
      reason: "REASON_NO_MATCHING_RULE",
    });
  });

  test("a retry gets the same decision, and another request under its key is denied, each under one id", async () => {
    const first = await authorize("gmail.send_email", inside, "retry");
    const again = await authorize("gmail.send_email", inside, "retry");
    expect(first.body["replayed"]).toBeUndefined();
    expect(again.body).toMatchObject({
      decisionId: first.body["decisionId"],
      decision: "DECISION_ALLOW",
      replayed: true,
    });

    const reused = await authorize("gmail.send_email", outside, "retry");
    expect(reused.body).toMatchObject({ decision: "DECISION_DENY", reason: "REASON_IDEMPOTENCY_KEY_REUSED" });
    const reusedAgain = await authorize("gmail.send_email", outside, "retry");
    expect(reusedAgain.body).toMatchObject({ decisionId: reused.body["decisionId"], replayed: true });
  });

  test("a decision's row is shown over the socket, and ten lines of Python recompute its hash", async () => {
    const { body } = await authorize("gmail.send_email", inside, "shown");
    const env = { DATACRAWL_DATA_DIR: service.dataDir };
    const { status, stdout } = runCli(["audit", "show", String(body["decisionId"]), "--json"], env);
    expect(status).toBe(0);
    const shown = JSON.parse(stdout) as { row: Record<string, unknown>; payload: unknown; hashMatches: boolean };
    expect(shown).toMatchObject({ hashMatches: true, payload: inside });
    expect(shown.row).toMatchObject({
      decision: "allow",
      agent_id: "demo",
      idempotency_key: "shown",
      source: "service",
    });
    const script = /```python\n([\s\S]*?)```/.exec(readFileSync("docs/audit-format.md", "utf8"))?.[1] as string;
    expect(spawnSync("python3", ["-c", script], { input: stdout, encoding: "utf8" }).stdout.trim()).toBe(
      "hash matches",
    );
  });

  test("the example in TypeScript runs as it is", () => {
    const env = cleanEnv({ DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}`, DATACRAWL_API_KEY: key });
    const typescript = spawnSync(process.execPath, ["examples/typescript/authorize.ts"], { env, encoding: "utf8" });
    expect(typescript.stdout, typescript.stderr).toContain("\nsending the email to ann@example.com");
  });

  test.skipIf(python === null)("the example in Python runs as it is", () => {
    const env = cleanEnv({
      DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}`,
      DATACRAWL_API_KEY: key,
      PYTHONPATH: "clients/python/src",
    });
    const ran = spawnSync(python as string, ["examples/python/authorize.py"], { env, encoding: "utf8" });
    expect(ran.stdout, ran.stderr).toContain("\nsending the email to ann@example.com");
  });

  test("authorize from the command line says by its exit status what was decided", async () => {
    const env = { DATACRAWL_DATA_DIR: service.dataDir, DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}` };
    const line = (tool: string, payload: unknown): string[] => [
      "authorize",
      // Five seconds from its start are short for a process on a busy machine.
      "--timeout",
      "1m",
      "--tool",
      tool,
      "--payload",
      JSON.stringify(payload),
      "--json",
    ];
    const { status, stdout } = runCli(line("gmail.send_email", inside), env);
    expect([status, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ decision: "allow" })]);
    expect(runCli(line("no.such_tool", {}), env).status).toBe(2);
    expect((await cli(line("gmail.send_email", outside), env)).status).toBe(3);
    expect((await cli(["authorize", "--payload", "{}"], env)).status).toBe(64);
  });

  test("agents are made, listed and revoked over the socket; a revoked credential is worth nothing at once", async () => {
    const env = { DATACRAWL_DATA_DIR: service.dataDir };
    const made = JSON.parse((await cli(["agent", "create", "billing-1", "--json"], env)).stdout) as {
      agentId: string;
      key: string;
    };
    expect(made.key).toMatch(/^dc_agent_billing-1_[0-9a-f]{12}_[0-9a-f]{64}$/);
    const request = { tool: "gmail.send_email", payload: inside, idempotencyKey: "x" };
    expect((await ask(service.connectUrl, made.key, request)).status).toBe(200);
    expect((await cli(["agent", "create", "billing-1"], env)).status).toBe(1);
    expect(JSON.parse((await cli(["agent", "list", "--json"], env)).stdout)).toMatchObject([
      { agentId: "billing-1" },
      { agentId: "demo" },
    ]);
    expect(runCli(["agent", "revoke", "billing-1"], env).status).toBe(0);
    expect(await ask(service.connectUrl, made.key, request)).toMatchObject({
      status: 401,
      body: { code: "unauthenticated" },
    });
  });

  test("a frozen agent is denied, its earlier allow too, each deny linked to it; unfrozen, the allow is back", async () => {
    const env = { DATACRAWL_DATA_DIR: service.dataDir };
    const request = { tool: "gmail.send_email", payload: inside, idempotencyKey: "freeze" };
    const first = await ask(service.connectUrl, key, request);
    expect((await cli(["agent", "freeze", "demo", "--reason", "test"], env)).status).toBe(0);
    const frozen = await ask(service.connectUrl, key, request);
    expect(frozen.body).toMatchObject({ decision: "DECISION_DENY", reason: "REASON_AGENT_FROZEN" });
    const shown = (await cli(["audit", "show", String(frozen.body["decisionId"]), "--json"], env)).stdout;
    expect((JSON.parse(shown) as { row: Record<string, unknown> }).row["linked_decision_id"]).toBe(
      first.body["decisionId"],
    );
    expect((await cli(["agent", "unfreeze", "demo", "--reason", "test"], env)).status).toBe(0);
    expect((await ask(service.connectUrl, key, request)).body).toMatchObject({
      decision: "DECISION_ALLOW",
      decisionId: first.body["decisionId"],
      replayed: true,
    });
  });

  test("kill -9 and a new start: the retry is still the same decision", async () => {
    const before = await authorize("gmail.send_email", inside, "survivor");
    await service.kill("SIGKILL");
    service = await startService({ DATACRAWL_DATA_DIR: service.dataDir });
    expect((await authorize("gmail.send_email", inside, "survivor")).body).toMatchObject({
      decisionId: before.body["decisionId"],
      replayed: true,
    });
  });

  test("SIGTERM ends it with status 0", async () => {
    expect(await service.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(runCli(["agent", "list"], { DATACRAWL_DATA_DIR: service.dataDir }).stdout).toContain("demo");
  });
});

describe("what cannot start says why, and exits 1", () => {
  test("a data directory that another process holds, and policies that are broken, both at once", {
    tags: ["full"],
  }, async () => {
    const service = await startService();
    const policies = tempDir();
    writeFileSync(join(policies, "a.yaml"), "rules: [{id: no, tools: [t], effect: permit}]");
    const { status, stderr } = runCli(["serve"], {
      DATACRAWL_DATA_DIR: service.dataDir,
      DATACRAWL_POLICY_DIR: policies,
      DATACRAWL_GRPC_ADDR: "127.0.0.1:0",
      DATACRAWL_CONNECT_ADDR: "127.0.0.1:0",
    });
    expect(status).toBe(1);
    expect(stderr).toContain(`the data directory ${service.dataDir} is in use by another process`);
    expect(stderr).toContain(`${join(policies, "a.yaml")}:1`);
    await discard(service);
  });

  test("a data directory that is none, and one whose lock cannot be opened", { tags: ["full"] }, () => {
    const file = join(tempDir(), "data");
    writeFileSync(file, "");
    const none = runCli(["serve"], { DATACRAWL_DATA_DIR: file });
    expect(none.status).toBe(1);
    expect(none.stderr).toContain(`the data directory ${file} cannot be used`);
    expect(none.stderr).toContain("DATACRAWL_DATA_DIR");
    const dir = tempDir();
    mkdirSync(join(dir, "lock"));
    const locked = runCli(["serve"], { DATACRAWL_DATA_DIR: dir });
    expect(locked.status).toBe(1);
    expect(locked.stderr).toContain(`${join(dir, "lock")} cannot be locked`);
  });

  test.each(["DATACRAWL_GRPC_ADDR", "DATACRAWL_CONNECT_ADDR"])(
    "a taken port names %s",
    { tags: ["full"] },
    async (variable) => {
      const port = await freePort();
      const holder = createServer().listen(port, "127.0.0.1");
      await once(holder, "listening");
      const addresses = {
        DATACRAWL_GRPC_ADDR: "127.0.0.1:0",
        DATACRAWL_CONNECT_ADDR: "127.0.0.1:0",
        [variable]: `127.0.0.1:${port}`,
      };
      const { status, stderr } = runCli(["serve"], { DATACRAWL_DATA_DIR: tempDir(), ...addresses });
      expect(status).toBe(1);
      expect(stderr).toContain(`127.0.0.1:${port} (${variable}) is already in use`);
      holder.close();
    },
  );

  test("every problem of a configuration at once, without the secrets in it", () => {
    const { status, stderr } = runCli(["serve"], {
      DATACRAWL_GRPC_ADDR: "0.0.0.0:1",
      DATACRAWL_AGENT_RATE: "many",
      DATABASE_URL: "mysql://root:hunter2@db/x",
      DATACRAWL_GRCP_ADDR: "127.0.0.1:2",
    });
    expect(status).toBe(1);
    for (const name of ["DATACRAWL_GRPC_ADDR", "DATACRAWL_AGENT_RATE", "DATABASE_URL", "DATACRAWL_GRCP_ADDR"])
      expect(stderr).toContain(name);
    expect(stderr).not.toContain("hunter2");
  });
});
