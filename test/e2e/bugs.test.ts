// @module-tag full
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AuthorizeService } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { RequestInfoSchema } from "@datacrawl/proto/google/rpc/error_details_pb";
import { SABOTAGED_TOOL, SECRET } from "../support/mistakes.ts";
import { waitUntil } from "../support/net.ts";
import { ask, demoKey, discard, runCli, type ServiceProcess, startService } from "../support/service.ts";
import { type SidecarProcess, startSidecar } from "../support/sidecar.ts";

const NODE_OPTIONS = `--import ${pathToFileURL(join(import.meta.dirname, "../support/sabotage.ts")).href}`;
const UUID = "0195e0b2-7a3b-7c1d-8a2b-00000000000f";

/** A line of a log. */
interface Line {
  readonly msg: string;
  readonly method?: string;
  readonly agentId?: string;
  readonly requestId?: string;
  readonly traceId?: string;
  readonly code?: string;
  readonly task?: string;
  readonly error?: { readonly type: string; readonly message: string; readonly stack: string };
}

function linesOf(text: string): Line[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Line);
}

describe("A bug in a running service", () => {
  let service: ServiceProcess;
  beforeAll(async () => {
    service = await startService({ NODE_OPTIONS });
  });
  afterAll(() => discard(service));

  const bugs = (): Line[] => linesOf(service.output().err).filter(({ error }) => error !== undefined);
  const TRACE = "0af7651916cd43dd8448eb211c80319c";

  function transportOf(protocol: string): Transport {
    const interceptors = [
      (next: (request: never) => Promise<never>) => (request: { readonly header: Headers }) => {
        request.header.set("authorization", `Bearer ${demoKey(service.dataDir)}`);
        request.header.set("traceparent", `00-${TRACE}-b7ad6b7169203331-01`);
        return next(request as never);
      },
    ] as never;
    return protocol === "gRPC"
      ? createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}`, interceptors })
      : createConnectTransport({ baseUrl: service.connectUrl, httpVersion: "1.1", interceptors });
  }

  const CALLS: Readonly<Record<string, (transport: Transport) => Promise<unknown>>> = {
    Authorize: (transport) =>
      createClient(AuthorizeService, transport).authorize({
        tool: SABOTAGED_TOOL,
        payload: { card: SECRET },
        idempotencyKey: "bug",
      }),
    WatchDecision: async (transport) => {
      for await (const _ of createClient(AuthorizeService, transport).watchDecision({ decisionId: UUID }));
    },
    SyncGuard: (transport) => createClient(AuthorizeService, transport).syncGuard({ journalId: UUID }),
  };
  const FILES: Readonly<Record<string, string>> = {
    Authorize: "src/authorize/authorize.ts",
    WatchDecision: "src/authorize/watch.ts",
    SyncGuard: "src/authorize/sync-guard.ts",
  };

  test.each(Object.keys(CALLS).flatMap((method) => ["gRPC", "Connect"].map((protocol) => [method, protocol] as const)))(
    "in %s over %s is INTERNAL, and logged once with its stack under the id that the caller gets",
    async (method, protocol) => {
      const failure = await CALLS[method]?.(transportOf(protocol)).then(
        () => null,
        (error: unknown) => ConnectError.from(error),
      );
      expect(failure?.code).toBe(Code.Internal);
      const [info] = failure?.findDetails(RequestInfoSchema) ?? [];
      const ofThis = (): Line[] => bugs().filter(({ requestId }) => requestId === info?.requestId);
      await waitUntil(() => ofThis().length > 0, 20_000, "the bug is not logged");
      expect(ofThis()).toMatchObject([
        {
          code: "INTERNAL",
          method,
          agentId: "demo",
          traceId: TRACE,
          error: {
            type: "TypeError",
            message: "Cannot use … operator to search for … in … at …",
            stack: expect.stringContaining(FILES[method] as string),
          },
        },
      ]);
    },
  );

  test("in AdminService is INTERNAL, and logged once with its stack", async () => {
    const { status, stderr } = runCli(["decision", "show", UUID], { DATACRAWL_DATA_DIR: service.dataDir });
    expect([status, stderr]).toEqual([expect.any(Number), expect.stringContaining("The service failed")]);
    const ofThis = (): Line[] => bugs().filter(({ method }) => method === "GetDecision");
    await waitUntil(() => ofThis().length > 0, 20_000, "the bug is not logged");
    expect(ofThis()).toMatchObject([
      {
        code: "INTERNAL",
        requestId: expect.any(String),
        error: { stack: expect.stringContaining("src/server/admin/") },
      },
    ]);
  });

  test("in a periodic task is logged with its stack", async () => {
    const ofThis = (): Line[] => bugs().filter(({ task }) => task !== undefined);
    await waitUntil(() => ofThis().length > 0, 20_000, "the bug is not logged");
    expect(ofThis()[0]).toMatchObject({
      error: { stack: expect.stringContaining("src/server/lifecycle/periodic-tasks.ts") },
    });
  });

  test("gives no value away, nor does a caller's mistake have a stack", async () => {
    await ask(service.connectUrl, demoKey(service.dataDir), { tool: "", idempotencyKey: "mistake" });
    await ask(service.connectUrl, "dc_agent_nobody", { tool: "crm.get_contact", idempotencyKey: "stranger" });
    await service.kill("SIGTERM");
    const { err } = service.output();
    expect(err).not.toContain(SECRET);
    expect(err).not.toContain("card");
    expect(bugs().filter(({ code }) => code !== undefined && code !== "INTERNAL")).toEqual([]);
  });
});

describe("A bug in a sidecar", () => {
  let service: ServiceProcess;
  let sidecar: SidecarProcess;
  beforeAll(async () => {
    service = await startService();
    sidecar = await startSidecar(service.grpcPort, demoKey(service.dataDir), { NODE_OPTIONS });
  });
  afterAll(async () => {
    await sidecar?.kill("SIGKILL");
    await discard(service);
  });

  test("denies the call, and is logged with its stack and without the payload", async () => {
    const { body } = await ask(sidecar.connectUrl, "", {
      tool: "crm.get_contact",
      payload: { card: SECRET },
      idempotencyKey: "bug",
    });
    expect(body).toMatchObject({ decision: "DECISION_DENY", source: "SOURCE_GUARD" });
    const bugs = (): Line[] => linesOf(sidecar.output()).filter(({ error }) => error !== undefined);
    await waitUntil(() => bugs().length > 0, 20_000, "the bug is not logged");
    expect(bugs()).toMatchObject([
      { agentId: "demo", error: { stack: expect.stringContaining("clients/typescript/src/call/ask.ts") } },
    ]);
    expect(sidecar.output()).not.toContain(SECRET);
  });
});
