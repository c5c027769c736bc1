// @module-tag full
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { ask, discard, isReady, type ServiceProcess, startService } from "../support/service.ts";
import { startTcpProxy, type TcpProxy, throughPort } from "../support/tcp-proxy.ts";

/** 200 KiB of text that takes twenty times as much when it is parsed. */
const LARGE = { list: Array.from({ length: 68_000 }, () => ({})) };

const request = (idempotencyKey: string) => ({ tool: "gmail.send_email", payload: LARGE, idempotencyKey });

describe.skipIf(inject("postgresUrl") === null)("large payloads while Postgres stalls", () => {
  let cluster: Cluster;
  let proxy: TcpProxy;
  let service: ServiceProcess;

  beforeAll(async () => {
    cluster = (await makeCluster()) as Cluster;
    proxy = await startTcpProxy(Number(new URL(cluster.superUrl).port));
    service = await startService({
      ...cluster.env,
      DATABASE_URL: throughPort(cluster.env["DATABASE_URL"] as string, proxy.port),
      DATABASE_OWNER_URL: throughPort(cluster.env["DATABASE_OWNER_URL"] as string, proxy.port),
      NODE_OPTIONS: "--max-old-space-size=256",
    });
  });
  afterAll(async () => {
    await discard(service);
    await proxy.close();
  });

  test("do not fill a small heap: those over the budget are told to wait, and the service lives", async () => {
    const before = await ask(service.connectUrl, cluster.agentKey, request("before"));
    expect(before.status).toBe(200);
    proxy.setMode("stall");
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        ask(service.connectUrl, cluster.agentKey, request(`large-${index}`), { "connect-timeout-ms": "20000" }),
      ),
    );
    expect(answers.map(({ body }) => body["code"])).toContain("resource_exhausted");
    expect(answers.filter(({ status }) => status === 200)).toEqual([]);
    proxy.setMode("pass");
    proxy.cut();
    await waitUntil(() => isReady(service.connectUrl), 20_000, "the service did not recover");
    const after = await ask(service.connectUrl, cluster.agentKey, request("after"));
    expect(after.status).toBe(200);
  }, 60_000);
});
