import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { loadSidecarConfig } from "../../src/sidecar/config.ts";
import { runSidecar } from "../../src/sidecar/sidecar.ts";
import {
  allowing,
  API_KEY,
  type AskedTools,
  callable,
  fail,
  reply,
  serveGrpc,
} from "../../clients/typescript/test/support/service.ts";

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

/** A service that answers so, and a sidecar before it. @returns how to call the sidecar as JSON, and what the service was asked */
async function start(tools?: (asked: AskedTools) => void) {
  const asked: string[][] = [];
  const service = await serveGrpc(({ stream, request }) => reply(stream, allowing(request)), {
    ...(tools !== undefined && {
      tools: (one) => {
        asked.push(one.request.tools);
        tools(one);
      },
    }),
  });
  opened.push(() => service.stop());
  const dir = await mkdtemp(join(tmpdir(), "datacrawl-sidecar-"));
  opened.push(() => rm(dir, { recursive: true }));
  const env = {
    DATACRAWL_URL: service.url.origin,
    DATACRAWL_API_KEY: API_KEY,
    DATACRAWL_DATA_DIR: dir,
    DATACRAWL_SIDECAR_GRPC_ADDR: "127.0.0.1:0",
    DATACRAWL_SIDECAR_CONNECT_ADDR: "127.0.0.1:0",
    DATACRAWL_SIDECAR_CIRCUIT_FAILURES: "1",
    DATACRAWL_LOG_LEVEL: "silent",
  };
  const sidecar = await runSidecar(loadSidecarConfig(env, dir));
  opened.push(() => sidecar.stop());
  const { connect } = sidecar;
  if (connect.kind !== "tcp") throw new Error("the sidecar does not listen on TCP");
  const call = async (method: string, body: object) => {
    const url = `http://${connect.host}:${connect.port}/datacrawl.authz.v1.AuthorizeService/${method}`;
    const headers = { "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  return { call, asked };
}

describe("ListCallableTools behind a sidecar", () => {
  test("is passed on, and its answer back, in the caller's order", async () => {
    const { call, asked } = await start(({ stream }) => reply(stream, callable(["a", "b"])));
    expect(await call("ListCallableTools", { tools: ["b", "c", "a", "b"] })).toEqual({
      status: 200,
      body: { agentId: "agent-1", policyVersion: `sha256:${"c0de".repeat(16)}`, tools: ["b", "a"] },
    });
    expect(asked).toEqual([["b", "c", "a"]]);
  });

  test("is refused in the service's words where it breaks the contract, and not passed on", async () => {
    const { call, asked } = await start(({ stream }) => reply(stream, callable([])));
    expect(await call("ListCallableTools", { tools: [""] })).toMatchObject({
      status: 400,
      body: { code: "invalid_argument", message: "tools must not be empty." },
    });
    expect(asked).toEqual([]);
  });

  test.each<[string, ((asked: AskedTools) => void) | undefined, number, string]>([
    ["does not know the method", undefined, 503, "unavailable"],
    ["fails", ({ stream }) => fail(stream, 13), 503, "unavailable"],
    ["names a tool that was not asked about", ({ stream }) => reply(stream, callable(["x"])), 503, "unavailable"],
    ["answers about another agent", ({ stream }) => reply(stream, callable(["a"], "agent-2")), 503, "unavailable"],
    ["limits the agent's rate", ({ stream }) => fail(stream, 8), 429, "resource_exhausted"],
    ["does not know the credential", ({ stream }) => fail(stream, 16), 401, "unauthenticated"],
  ])("is an error where the service %s, and the circuit has no part in it", async (_, tools, status, code) => {
    const { call } = await start(tools);
    expect(await call("ListCallableTools", { tools: ["a"] })).toMatchObject({ status, body: { code } });
    const question = { tool: "a", idempotencyKey: "k" };
    expect((await call("Authorize", question)).body).toMatchObject({ decision: "DECISION_ALLOW" });
  });
});
