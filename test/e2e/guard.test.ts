import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cli } from "../support/cli.ts";
import { waitUntil } from "../support/net.ts";
import { addReviewer, REVIEWER_PASSWORD } from "../support/reviewers.ts";
import { type Asked, ask, demoKey, discard, type ServiceProcess, startService } from "../support/service.ts";
import { type SidecarProcess, startSidecar } from "../support/sidecar.ts";

const refund = (idempotencyKey: string) => ({
  tool: "stripe.refund",
  payload: { amount: 5, currency: "EUR" },
  idempotencyKey,
});
const email = (idempotencyKey: string) => ({
  tool: "gmail.send_email",
  payload: { to: ["ann@example.com"], subject: "Hi", body: "Hello" },
  idempotencyKey,
});

/** One story, told by real processes: an outage, a grant that was set beforehand, and what the trail knows afterwards. */
describe("a service that dies under a sidecar", () => {
  let service: ServiceProcess;
  let sidecar: SidecarProcess;
  let ports: Record<string, string>;
  const allowed: string[] = [];
  const denied: string[] = [];

  beforeAll(async () => {
    service = await startService();
    ports = {
      DATACRAWL_DATA_DIR: service.dataDir,
      DATACRAWL_GRPC_ADDR: `127.0.0.1:${service.grpcPort}`,
      DATACRAWL_CONNECT_ADDR: `127.0.0.1:${service.connectPort}`,
    };
    sidecar = await startSidecar(service.grpcPort, demoKey(service.dataDir), {
      DATACRAWL_SIDECAR_CIRCUIT_PROBE_AFTER_MS: "2000",
    });
  });
  afterAll(async () => {
    await sidecar.kill("SIGKILL");
    await discard(service);
  });

  const askSidecar = (request: Record<string, unknown>): Promise<Asked> => ask(sidecar.connectUrl, "none", request);
  const run = (...args: string[]) => cli(args, { DATACRAWL_DATA_DIR: service.dataDir });
  const runAs = (name: string, ...args: string[]) =>
    cli([...args, "--as", name, "--password-stdin"], { DATACRAWL_DATA_DIR: service.dataDir }, `${REVIEWER_PASSWORD}\n`);
  const shown = async (id: string): Promise<{ row: Record<string, unknown>; hashMatches: boolean } | null> => {
    const { status, stdout } = await run("audit", "show", id, "--json");
    return status === 0 ? (JSON.parse(stdout) as { row: Record<string, unknown>; hashMatches: boolean }) : null;
  };
  const openCircuit = async (name: string): Promise<void> => {
    for (let n = 0; n < 6; n++) await askSidecar(email(`${name}-${n}`));
  };
  /** Asks under new keys until the reason is `reason`: on a slow machine any call may turn out to be the probe. */
  const askUntil = async (
    reason: string,
    requestOf: (idempotencyKey: string) => Record<string, unknown>,
    name: string,
  ): Promise<Asked> => {
    let asked: Asked = { status: 0, body: {} };
    const isSo = async (): Promise<boolean> => {
      asked = await askSidecar(requestOf(`${name}-${tries++}`));
      return asked.body["reason"] === reason;
    };
    let tries = 0;
    await waitUntil(isSo, 20_000, `no ${reason}`);
    return asked;
  };
  const grantExpiry = async (): Promise<number> => {
    const page = await (await fetch(`${sidecar.connectUrl}/metrics`)).text();
    return Number(/^datacrawl_sidecar_grant_expires_seconds (\S+)$/m.exec(page)?.[1]);
  };

  test("while all is well a bare caller gets the service's decisions, and the operator sees the circuit", async () => {
    expect((await askSidecar(email("well"))).body).toMatchObject({
      decision: "DECISION_ALLOW",
      reason: "REASON_RULE_ALLOWED",
      source: "SOURCE_SERVICE",
      agentId: "demo",
    });
    const circuits = async (): Promise<{ state: string }[]> =>
      JSON.parse((await run("circuit", "list", "--json")).stdout) as { state: string }[];
    await waitUntil(async () => (await circuits())[0]?.state === "closed", 20_000, "the circuit was not reported");
  });

  test("a grant is set by a named operator with a reason, is listed, and needs an agent that may act", async () => {
    await addReviewer("alice", { DATACRAWL_DATA_DIR: service.dataDir }, "operator");
    expect((await runAs("alice", "bypass", "set", "demo", "--for", "30m", "--tool", "stripe.refund")).status).toBe(64);
    expect((await runAs("alice", "bypass", "set", "nobody", "--reason", "x", "--all-tools")).status).toBe(1);
    expect(
      (await runAs("alice", "bypass", "set", "demo", "--reason", "INC-42", "--for", "25h", "--all-tools")).status,
    ).toBe(1);
    const set = ["bypass", "set", "demo", "--reason", "INC-42", "--for", "30m", "--tool", "stripe.refund"];
    const unnamed = await run(...set);
    expect([unnamed.status, unnamed.stderr]).toEqual([1, expect.stringContaining("--as NAME")]);
    expect((await runAs("alice", ...set)).status).toBe(0);
    expect(JSON.parse((await run("bypass", "list", "--json")).stdout)).toMatchObject([
      { agentId: "demo", tools: ["stripe.refund"], reason: "INC-42", operator: "operator:alice" },
    ]);
  });

  test("with the circuit closed the grant changes nothing: policy decides", async () => {
    await waitUntil(async () => (await grantExpiry()) > 0, 20_000, "the grant did not arrive");
    const large = { tool: "stripe.refund", payload: { amount: 1_000_000, currency: "EUR" }, idempotencyKey: "large" };
    const { body } = await askSidecar(large);
    expect(body["decision"]).not.toBe("DECISION_ALLOW");
    expect(body["source"]).toBe("SOURCE_SERVICE");
  });

  test("the service dies: denies, then instant denies, and the granted tool alone may act", async () => {
    await service.kill("SIGKILL");
    await openCircuit("dead");
    const open = await askUntil("REASON_CIRCUIT_OPEN", email, "open");
    expect(open).toMatchObject({
      status: 200,
      body: { decision: "DECISION_DENY", reason: "REASON_CIRCUIT_OPEN", source: "SOURCE_GUARD" },
    });
    denied.push(String(open.body["decisionId"]));

    const bypassed = await askUntil("REASON_CIRCUIT_BYPASS", refund, "bypassed");
    expect(bypassed.body).toMatchObject({
      decision: "DECISION_ALLOW",
      reason: "REASON_CIRCUIT_BYPASS",
      source: "SOURCE_GUARD",
    });
    allowed.push(String(bypassed.body["decisionId"]));

    // What policy has denied in this guard's sight stays denied.
    const large = {
      tool: "stripe.refund",
      payload: { amount: 1_000_000, currency: "EUR" },
      idempotencyKey: "large-again",
    };
    expect((await askSidecar(large)).body["decision"]).toBe("DECISION_DENY");
  });

  test("kill -9 of the sidecar: each bypassed action is in its journal, before it was answered", async () => {
    const journal = readdirSync(sidecar.journalDir, { recursive: true, withFileTypes: true })
      // Reading a lock file would give up the lock of whoever holds it in this process; here nobody does, but it is empty.
      .filter((file) => file.isFile() && !file.name.endsWith("lock"))
      .map((file) => readFileSync(join(file.parentPath, file.name), "utf8"))
      .join("\n");
    for (const id of allowed) expect(journal).toContain(id);
    await sidecar.kill("SIGKILL");
    sidecar = await startSidecar(service.grpcPort, demoKey(service.dataDir), {
      DATACRAWL_SIDECAR_CIRCUIT_PROBE_AFTER_MS: "2000",
      DATACRAWL_SIDECAR_JOURNAL_DIR: sidecar.journalDir,
    });
    // The new process has counted no failures of its own yet, and the grant is on its disk.
    expect((await askSidecar(refund("not-yet"))).body["decision"]).toBe("DECISION_DENY");
    await openCircuit("dead-again");
    const bypassed = await askUntil("REASON_CIRCUIT_BYPASS", refund, "bypassed-again");
    allowed.push(String(bypassed.body["decisionId"]));
  });

  test("the service is back: calls pass, and the journal arrives, each record once, with both times", async () => {
    service = await startService(ports, { ready: true });
    // Nothing probes by itself, and an operator who looks is told so.
    const isDue = async (): Promise<boolean> => (await run("circuit", "list")).stdout.includes("with the next call");
    await waitUntil(isDue, 30_000, "the circuit was not reported as waiting for a call");
    await waitUntil(
      async () => (await askSidecar(email("back"))).body["decision"] === "DECISION_ALLOW",
      30_000,
      "no recovery",
    );
    const arrived = async (id: string): Promise<boolean> => (await shown(id)) !== null;
    await waitUntil(() => arrived(allowed.at(-1) as string), 30_000, "the journal did not arrive");
    for (const id of allowed) {
      await waitUntil(() => arrived(id), 30_000, "the first process' journal did not arrive");
      const found = await shown(id);
      expect(found?.hashMatches).toBe(true);
      expect(found?.row).toMatchObject({
        source: "guard",
        decision: "allow",
        reason: "CIRCUIT_BYPASS",
        tool: "stripe.refund",
        agent_id: "demo",
      });
      expect(found?.row["grant_id"]).toMatch(/^[0-9a-f-]{36}$/);
      expect(Number(found?.row["recorded_at"])).toBeGreaterThan(Number(found?.row["decided_at"]));
    }
    for (const id of denied)
      expect((await shown(id))?.row).toMatchObject({ source: "guard", decision: "deny", reason: "CIRCUIT_OPEN" });
  });

  test("cleared, the grant is dropped within 10 s: the next outage is denied throughout", async () => {
    expect((await run("bypass", "clear", "demo", "--reason", "over")).status).toBe(0);
    expect(JSON.parse((await run("bypass", "list", "--json")).stdout)).toEqual([]);
    await waitUntil(async () => (await grantExpiry()) === 0, 20_000, "the revocation did not arrive");
    await service.kill("SIGKILL");
    await openCircuit("third");
    await askUntil("REASON_CIRCUIT_OPEN", email, "third-open");
    expect((await askSidecar(refund("too-late"))).body).toMatchObject({ decision: "DECISION_DENY" });
  });

  test("SIGTERM ends the sidecar with status 0", async () => {
    expect(await sidecar.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  });
});
