import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { AuthorizeService } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { outcomeOfCall } from "../support/call-outcome.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { discard, type ServiceProcess, startService } from "../support/service.ts";

const METHODS = Object.values(AuthorizeService.method);
const JOURNAL = "0195e0b2-7a3b-7c1d-8a2b-00000000000f";
const REQUESTS: Readonly<Record<string, object>> = {
  Authorize: { tool: "crm.get_contact", idempotencyKey: "stranger" },
  WatchDecision: { decisionId: JOURNAL },
  BeginExecution: { decisionId: JOURNAL, nonce: new Uint8Array(16) },
  ReportOutcome: { decisionId: JOURNAL, executionId: JOURNAL, outcome: 1 },
  SyncGuard: { journalId: JOURNAL },
  ListCallableTools: { tools: ["crm.get_contact"] },
};
const FAILURES = 'datacrawl_authentication_failures_total{code="CREDENTIAL_UNKNOWN"}';

describe.skipIf(inject("postgresUrl") === null)("A credential that is refused", () => {
  let cluster: Cluster;
  let service: ServiceProcess;
  beforeAll(async () => {
    cluster = (await makeCluster()) as Cluster;
    service = await startService({ ...cluster.env });
  });
  afterAll(() => discard(service));

  const failures = async (): Promise<number> => {
    const page = await (await fetch(`${service.connectUrl}/metrics`)).text();
    const line = page.split("\n").find((one) => one.startsWith(`${FAILURES} `));
    return Number(line?.slice(FAILURES.length));
  };

  test.each(
    METHODS.flatMap((method) => ["gRPC", "Connect"].map((protocol) => [method.name, protocol, method] as const)),
  )("is counted for %s over %s", async (name, protocol, method) => {
    const bearer = `Bearer dc_agent_${name.toLowerCase()}_0a1b2c3d4e5f_${"0".repeat(64)}`;
    const interceptors = [
      (next: (request: never) => Promise<never>) => (request: { readonly header: Headers }) => {
        request.header.set("authorization", bearer);
        return next(request as never);
      },
    ] as never;
    const transport =
      protocol === "gRPC"
        ? createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}`, interceptors })
        : createConnectTransport({ baseUrl: service.connectUrl, httpVersion: "1.1", interceptors });
    const before = await failures();
    expect(await outcomeOfCall(method, transport, REQUESTS[name] ?? {})).toBe("CREDENTIAL_UNKNOWN");
    expect(await failures()).toBe(before + 1);
  });

  test("is recorded under the agent that it claims, once for each call, without the secret", async () => {
    expect(await service.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    const database = new pg.Client(cluster.superUrl);
    await database.connect();
    const { rows } = await database.query("SELECT detail FROM audit_events WHERE kind = 'authentication.refused'");
    await database.end();
    const details = rows as { detail: string }[];
    const refused = details.flatMap(({ detail }) => (JSON.parse(detail) as { refused: object[] }).refused);
    expect(refused).toHaveLength(METHODS.length);
    for (const { name } of METHODS) {
      const claimedAgentId = name.toLowerCase();
      expect(refused).toContainEqual({ code: "CREDENTIAL_UNKNOWN", claimedAgentId, count: 2 });
    }
    expect(JSON.stringify(refused)).not.toContain("0".repeat(64));
  });
});
