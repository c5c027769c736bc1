import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { type Asked, ask, discard, isReady, type ServiceProcess, startService } from "../support/service.ts";
import { startTcpProxy, type TcpProxy, throughPort } from "../support/tcp-proxy.ts";
import { amount } from "../support/amount.ts";

const OUTAGE_MS = amount(3000, 10_000);

const CLIENTS = 32;

interface Given {
  readonly client: number;
  readonly key: string;
  readonly answer: Asked;
  readonly during: "service" | "outage" | "recovery";
}

const request = (idempotencyKey: string) => ({
  tool: "gmail.send_email",
  payload: { to: ["ann@example.com"], subject: "Hi", body: "Hello" },
  idempotencyKey,
});

describe.skipIf(inject("postgresUrl") === null)("Postgres gone for a while", () => {
  let cluster: Cluster;
  let proxy: TcpProxy;
  let service: ServiceProcess;
  let database: pg.Client;
  let during: Given["during"] = "service";

  beforeAll(async () => {
    cluster = (await makeCluster()) as Cluster;
    proxy = await startTcpProxy(Number(new URL(cluster.superUrl).port));
    service = await startService({
      ...cluster.env,
      DATABASE_URL: throughPort(cluster.env["DATABASE_URL"] as string, proxy.port),
      DATABASE_OWNER_URL: throughPort(cluster.env["DATABASE_OWNER_URL"] as string, proxy.port),
    });
    database = new pg.Client(cluster.superUrl);
    await database.connect();
  });
  afterAll(async () => {
    await discard(service);
    await proxy.close();
    await database.end();
  });

  const residentMiB = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${service.child.pid}/status`, "utf8"))?.[1]) / 1024;
  const storeErrors = async (): Promise<number> => {
    const page = await (await fetch(`${service.connectUrl}/metrics`)).text();
    return Number(/^datacrawl_store_errors_total (\d+)$/m.exec(page)?.[1]);
  };
  const rowFor = async (key: string): Promise<string | undefined> => {
    const { rows } = await database.query(
      "SELECT decision_id::text AS id FROM audit_decisions WHERE idempotency_key = $1",
      [key],
    );
    return (rows[0] as { id: string } | undefined)?.id;
  };

  /** Asks without pause from several sides for a while; gives back what was answered. */
  const flood = async (name: string, milliseconds: number): Promise<Given[]> => {
    const end = performance.now() + milliseconds;
    const one = async (client: number): Promise<Given[]> => {
      const answers: Given[] = [];
      for (let n = 0; performance.now() < end; n++) {
        const key = `${name}-${client}-${n}`;
        const answer = await ask(service.connectUrl, cluster.agentKey, request(key), { "connect-timeout-ms": "1500" });
        answers.push({ client, key, answer, during });
      }
      return answers;
    };
    return (await Promise.all(Array.from({ length: CLIENTS }, (_, client) => one(client)))).flat();
  };

  const survives = async (how: string, mode: "cut" | "stall" | "mute"): Promise<void> => {
    // Node's heap grows to its usual size under any load; what is looked for here grows on.
    await flood(`warm-${how}`, OUTAGE_MS / 3);
    const [before, errorsBefore] = [residentMiB(), await storeErrors()];
    during = "service";
    const flooding = flood(how, OUTAGE_MS + 2000);
    await sleep(1000);
    if (mode === "cut") await proxy.setListening(false);
    else proxy.setMode(mode);
    during = "outage";
    await sleep(OUTAGE_MS);
    during = "recovery";
    if (mode === "cut") await proxy.setListening(true);
    else {
      proxy.setMode("pass");
      proxy.cut();
    }
    const answers = await flooding;
    const given = answers.filter(({ answer }) => answer.status === 200);
    const refused = answers.filter(({ answer }) => answer.status !== 200);
    expect(given.length).toBeGreaterThan(0);
    expect(refused.length).toBeGreaterThan(0);
    for (const { key, answer } of given) expect(await rowFor(key), key).toBe(answer.body["decisionId"]);
    for (const { answer } of refused)
      expect(answer.body["code"], JSON.stringify(answer)).toMatch(/unavailable|deadline_exceeded|resource_exhausted/);
    // None waits for Postgres to be back.
    const refusedMeanwhile = refused.filter((answer) => answer.during === "outage").map(({ client }) => client);
    expect(new Set(refusedMeanwhile).size).toBe(CLIENTS);
    await waitUntil(() => isReady(service.connectUrl), 20_000, "the service did not recover");
    const after = await ask(service.connectUrl, cluster.agentKey, request(`after-${how}`));
    expect(after.body["decision"]).toBe("DECISION_ALLOW");
    expect(residentMiB() - before).toBeLessThan(250);
    expect(await storeErrors()).toBeGreaterThan(errorsBefore);
    // What failed is asked again, and is decided once.
    for (const { key } of refused.slice(0, 20)) {
      const retry = await ask(service.connectUrl, cluster.agentKey, request(key));
      expect(retry.body["decisionId"]).toBe(await rowFor(key));
    }
  };

  test("unreachable for a while and back: no restart, no answer without a row, no growth", () =>
    survives("unreachable", "cut"));

  test("blackholed for a while and back: no restart, no answer without a row, no growth", { tags: ["full"] }, () =>
    survives("blackholed", "stall"),
  );

  test(
    "answering into the void for a while and back: no restart, no answer without a row, no growth",
    {
      tags: ["full"],
    },
    () => survives("void", "mute"),
  );

  test("while it is gone, a remembered deny is replayed, and a remembered allow only with its agent's state confirmed", async () => {
    const denied = { tool: "no.such_tool", payload: {}, idempotencyKey: "remembered-deny" };
    const first = await ask(service.connectUrl, cluster.agentKey, denied);
    await ask(service.connectUrl, cluster.agentKey, request("remembered-allow"));
    await proxy.setListening(false);
    await sleep(2500);
    expect((await ask(service.connectUrl, cluster.agentKey, denied)).body).toMatchObject({
      decisionId: first.body["decisionId"],
      replayed: true,
    });
    expect((await ask(service.connectUrl, cluster.agentKey, request("remembered-allow"))).body["code"]).toBe(
      "unavailable",
    );
    expect(await isReady(service.connectUrl)).toBe(false);
    await proxy.setListening(true);
    await waitUntil(() => isReady(service.connectUrl), 20_000, "the service did not recover");
  });
});
