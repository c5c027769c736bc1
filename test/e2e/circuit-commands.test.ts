// @module-tag full
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitUntil } from "../support/net.ts";
import { type Asked, ask, demoKey, discard, runCli, type ServiceProcess, startService } from "../support/service.ts";
import { type SidecarProcess, startSidecar } from "../support/sidecar.ts";

/** An operator holds a sidecar's circuit open, and lets go of it. */
describe("an operator's command to a circuit", () => {
  let service: ServiceProcess;
  let sidecar: SidecarProcess;
  let key: string;
  let asked = 0;

  beforeAll(async () => {
    service = await startService();
    key = demoKey(service.dataDir);
    sidecar = await startSidecar(service.grpcPort, key);
  });
  afterAll(async () => {
    await sidecar?.kill("SIGKILL");
    await discard(service);
  });

  const askSidecar = (): Promise<Asked> =>
    ask(sidecar.connectUrl, "none", {
      tool: "gmail.send_email",
      payload: { to: ["ann@example.com"], subject: "Hi", body: "Hello" },
      idempotencyKey: `order-${asked++}`,
    });
  const answers = (reason: string) => async (): Promise<boolean> => (await askSidecar()).body["reason"] === reason;
  const cli = (...args: string[]) => runCli(args, { DATACRAWL_DATA_DIR: service.dataDir });

  test("reaches it within seconds, denies by it, is shown and in the trail", async () => {
    await waitUntil(answers("REASON_RULE_ALLOWED"), 20_000, "it was not allowed at first");
    expect(cli("circuit", "force-open", "demo").status).toBe(64);
    expect(cli("circuit", "force-open", "nobody", "--reason", "x").status).toBe(1);
    const forced = cli("circuit", "force-open", "demo", "--reason", "INC-\u001b[31m7", "--for", "10m");
    expect(forced.status).toBe(0);
    await waitUntil(answers("REASON_CIRCUIT_OPEN"), 20_000, "the order did not reach the sidecar");
    expect((await askSidecar()).body["message"]).toContain("by an operator's command");
    const state = (): string => cli("circuit", "show", "demo", "--json").stdout;
    await waitUntil(() => state().includes('"cause": "forced"'), 20_000, "the guard did not report it");
    const shown = cli("circuit", "show", "demo");
    expect(shown.stdout).toMatch(/forced {3}until .*, by socket: INC-\\u001b\[31m7\n/);
    expect(shown.stdout).not.toContain("\u001b");
  }, 120_000);

  test("holds through a restart of the sidecar while the service is down", async () => {
    await service.kill("SIGKILL");
    await sidecar?.kill("SIGKILL");
    sidecar = await startSidecar(service.grpcPort, key, { DATACRAWL_SIDECAR_JOURNAL_DIR: sidecar.journalDir });
    expect((await askSidecar()).body).toMatchObject({ reason: "REASON_CIRCUIT_OPEN" });
    expect((await askSidecar()).body["message"]).toContain("by an operator's command");
  }, 120_000);

  test("ends with a reset, after which the service decides again", async () => {
    service = await startService({
      DATACRAWL_DATA_DIR: service.dataDir,
      DATACRAWL_GRPC_ADDR: `127.0.0.1:${service.grpcPort}`,
      DATACRAWL_CONNECT_ADDR: `127.0.0.1:${service.connectPort}`,
    });
    const reset = cli("circuit", "reset", "demo", "--reason", "over", "--json");
    expect(JSON.parse(reset.stdout)).toMatchObject({ kind: "reset", operator: "socket", expiresAt: null });
    await waitUntil(answers("REASON_RULE_ALLOWED"), 30_000, "it stayed closed off");
    expect(JSON.parse(cli("circuit", "show", "demo", "--json").stdout)).toMatchObject({
      forced: null,
      orders: [{ kind: "reset" }, { kind: "force_open", reason: "INC-\u001b[31m7" }],
    });
  }, 120_000);
});
