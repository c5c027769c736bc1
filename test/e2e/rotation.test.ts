// @module-tag full
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DataCrawl } from "@datacrawl/client";
import { waitUntil } from "../support/net.ts";
import { addReviewer, REVIEWER_PASSWORD } from "../support/reviewers.ts";
import { demoKey, discard, runCli, type ServiceProcess, startService, tempDir } from "../support/service.ts";

const request = { tool: "stripe.refund", payload: { amount: 5, currency: "EUR" } };

/** A guard that has pinned a grant key, and what becomes of its grant when the service's operators change that key. */
describe("the grant key is rotated", () => {
  let service: ServiceProcess;
  let dc: DataCrawl;
  beforeAll(async () => {
    service = await startService();
    await addReviewer("alice", { DATACRAWL_DATA_DIR: service.dataDir }, "operator");
    const url = `http://127.0.0.1:${service.grpcPort}`;
    dc = new DataCrawl({ url, apiKey: demoKey(service.dataDir), journalDir: tempDir(), circuit: { failures: 2 } });
    await dc.ready();
  });
  afterAll(async () => {
    await discard(service);
    await dc.close();
  });
  const cli = (...args: string[]) => runCli(args, { DATACRAWL_DATA_DIR: service.dataDir });
  const setBypass = (reason: string) => {
    const set = ["bypass", "set", "demo", "--reason", reason, "--for", "30m", "--tool", request.tool];
    const named = [...set, "--as", "alice", "--password-stdin"];
    return runCli(named, { DATACRAWL_DATA_DIR: service.dataDir }, `${REVIEWER_PASSWORD}\n`);
  };
  const pinned = () => dc.status?.grant.pinnedKey ?? null;
  const epoch = () => dc.status?.grant.epoch ?? 0;
  const live = () => JSON.parse(cli("bypass", "list", "--json").stdout) as { grantId: string; epoch: number }[];

  test("a live grant is signed again on SIGHUP, and a guard that pinned the old key follows and keeps it", async () => {
    expect(setBypass("INC-42").status).toBe(0);
    await waitUntil(() => (dc.status?.grant.grant ?? null) !== null, 20_000, "the grant did not arrive");
    const [before, epochBefore, [grant]] = [pinned(), epoch(), live()];

    const rotated = cli("keys", "rotate-grant", "--json");
    expect(rotated.status).toBe(0);
    const { fingerprint } = JSON.parse(rotated.stdout) as { fingerprint: string };
    // The running service has not looked yet.
    expect(live()).toEqual([grant]);
    service.child.kill("SIGHUP");

    await waitUntil(() => pinned() !== before, 20_000, "the guard did not follow");
    expect(pinned()).toBe(fingerprint);
    await waitUntil(() => epoch() > epochBefore, 20_000, "the grant was not signed again");
    expect(dc.status?.grant.grant).toMatchObject({
      tools: [request.tool],
      operator: "operator:alice",
      reason: "INC-42",
    });
    expect(live()).toMatchObject([{ reason: "INC-42", epoch: epoch() }]);
    // In the round in which it follows, what it finds on its disk is still the old key's.
    await waitUntil(() => dc.status?.grant.problems.length === 0, 20_000, "the guard still has problems");
  });

  test("and what was revoked stays revoked at the next rotation, which a restart takes up", async () => {
    expect(setBypass("INC-43").status).toBe(0);
    expect(cli("bypass", "clear", "demo", "--reason", "over").status).toBe(0);
    await service.kill("SIGTERM");
    expect(cli("keys", "rotate-grant").status).toBe(0);
    const ports = {
      DATACRAWL_DATA_DIR: service.dataDir,
      DATACRAWL_GRPC_ADDR: `127.0.0.1:${service.grpcPort}`,
      DATACRAWL_CONNECT_ADDR: `127.0.0.1:${service.connectPort}`,
    };
    const before = pinned();
    service = await startService(ports);
    await waitUntil(() => pinned() !== before, 30_000, "the guard did not follow");
    expect(dc.status?.grant.grant).toBeNull();
    expect(live()).toEqual([]);
    expect(setBypass("INC-44").status).toBe(0);
    await waitUntil(() => dc.status?.grant.grant?.reason === "INC-44", 20_000, "the grant did not arrive");
  });

  test("a grant of the newest key acts when the service is dead", async () => {
    await service.kill("SIGKILL");
    for (let n = 0; dc.circuit.state !== "open" && n < 10; n++)
      await dc.authorize({ ...request, idempotencyKey: `${n}` });
    const verdict = await dc.authorize({ ...request, idempotencyKey: "bypassed" });
    expect(verdict).toMatchObject({ decision: "allow", reason: "CIRCUIT_BYPASS" });
  });
});
