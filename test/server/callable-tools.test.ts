import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AuthorizeService } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { type Open, openListeners, portOf } from "./open.ts";
import { CREDENTIAL } from "./stand-in.ts";

let open: Open;
beforeAll(async () => {
  open = await openListeners();
});
afterAll(() => open.close());

const HEADERS = { authorization: CREDENTIAL };
const TRANSPORTS = {
  gRPC: () => createGrpcTransport({ baseUrl: `http://127.0.0.1:${portOf(open.grpc)}` }),
  "gRPC-Web": () => createGrpcWebTransport({ baseUrl: `http://127.0.0.1:${portOf(open.connect)}`, httpVersion: "1.1" }),
  "Connect in binary": () =>
    createConnectTransport({ baseUrl: `http://127.0.0.1:${portOf(open.connect)}`, httpVersion: "1.1" }),
  "Connect in JSON": () =>
    createConnectTransport({
      baseUrl: `http://127.0.0.1:${portOf(open.connect)}`,
      httpVersion: "1.1",
      useBinaryFormat: false,
    }),
};

describe.each(Object.entries(TRANSPORTS))("ListCallableTools over %s", (_, transport) => {
  test("carries the names both ways, and says for whom and by which policy", async () => {
    const client = createClient(AuthorizeService, transport());
    const tools = ["mail.send", "ma\u00efl.*", "a b"];
    expect(await client.listCallableTools({ tools }, { headers: HEADERS })).toMatchObject({
      agentId: "agent-a",
      policyVersion: `sha256:${"ab".repeat(32)}`,
      tools,
    });
    expect((await client.listCallableTools({}, { headers: HEADERS })).tools).toEqual([]);
  });

  test("answers a fault with its status", async () => {
    const client = createClient(AuthorizeService, transport());
    await expect(client.listCallableTools({ tools: ["a"] })).rejects.toThrow(/unauthenticated.*unknown credential/i);
    expect(open.faultedMethods.at(-1)).toBe("ListCallableTools");
  });
});
