import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { waitUntil } from "../../support/net.ts";
import { LIMITS } from "../../../src/server/limits/limits.ts";
import {
  addOperator,
  cookieOf,
  eventsOf,
  type AdminFixture,
  openAdminFixture,
  signIn,
  type TrailEvent,
} from "./admin-fixture.ts";
import { rawHttp } from "../../support/http.ts";
import { query } from "../../support/sql.ts";

const SERVICE = "/datacrawl.authz.v1.AdminService";
const JSON_TYPE = { "content-type": "application/json" };

/** Requests that never become a message of their method: each is refused, changes nothing, and is in the trail. */
describe("a request that cannot be read", () => {
  let fixture: AdminFixture;
  let cookie: string;
  let before: number;
  beforeAll(async () => {
    fixture = await openAdminFixture();
    await addOperator(fixture, "alice", "operator");
    cookie = cookieOf(await signIn(fixture.url, "alice"));
  });
  beforeEach(async () => {
    before = (await eventsOf(fixture)).length;
  });
  afterAll(() => fixture.close());

  const post = async (path: string, init: RequestInit): Promise<number> => {
    const response = await fetch(`${fixture.url}${path}`, { method: "POST", ...init });
    await response.body?.cancel();
    return response.status;
  };
  const recorded = async (): Promise<TrailEvent[]> => (await eventsOf(fixture)).slice(before);
  const event = (
    actor: string,
    outcome: string,
    method = "AdminService.CreateAgent",
    subject: string | null = null,
  ) => ({
    kind: "admin.call",
    actor,
    subject,
    detail: { method, from: "127.0.0.1", outcome },
  });

  const large = JSON.stringify({ agentId: "x".repeat(LIMITS.messageBytes) });
  const unreadable: readonly [string, NonNullable<RequestInit["body"]>, Record<string, string>, number, string][] = [
    ["garbage", "}{", {}, 400, "REQUEST_MALFORMED"],
    ["no UTF-8", new Uint8Array([0x7b, 0xff, 0x7d]), {}, 400, "REQUEST_MALFORMED"],
    ["no protobuf", new Uint8Array([0xff, 0xff]), { "content-type": "application/proto" }, 400, "REQUEST_MALFORMED"],
    ["not gzip", "{}", { "content-encoding": "gzip" }, 400, "REQUEST_MALFORMED"],
    ["an unknown coding", "{}", { "content-encoding": "zstd" }, 501, "ENCODING_UNSUPPORTED"],
    ["too large", large, {}, 429, "MESSAGE_TOO_LARGE"],
    ["too large when inflated", gzipSync(large), { "content-encoding": "gzip" }, 429, "MESSAGE_TOO_LARGE"],
  ];

  test.each(unreadable)("is recorded under who sent it: %s", async (_, body, headers, status, outcome) => {
    const init = { body, headers: { ...JSON_TYPE, cookie, ...headers } };
    expect(await post(`${SERVICE}/CreateAgent`, init)).toBe(status);
    expect(await recorded()).toEqual([event("operator:alice", outcome)]);
  });

  test.each(unreadable)("tells a stranger only that nobody has signed in: %s", async (_, body, headers) => {
    expect(await post(`${SERVICE}/CreateAgent`, { body, headers: { ...JSON_TYPE, ...headers } })).toBe(401);
    expect(await recorded()).toEqual([event("unknown", "CREDENTIAL_MISSING")]);
  });

  test.each<[string, string, RequestInit, number, string]>([
    ["a form", "CreateAgent", { headers: { "content-type": "text/plain" }, body: "{}" }, 415, "ENCODING_UNSUPPORTED"],
    ["a GET", "ListAgents", { method: "GET" }, 405, "METHOD_NOT_SERVED"],
    ["a preflight", "ListAgents", { method: "OPTIONS" }, 405, "METHOD_NOT_SERVED"],
    [
      "a deadline that is none",
      "ListAgents",
      { headers: { ...JSON_TYPE, "connect-timeout-ms": "soon" }, body: "{}" },
      400,
      "REQUEST_MALFORMED",
    ],
    [
      "another site's page",
      "ListAgents",
      { headers: { ...JSON_TYPE, origin: "http://evil.example" }, body: "{}" },
      403,
      "CROSS_SITE",
    ],
  ])("never gets to its method, and is recorded: %s", async (_, method, init, status, outcome) => {
    expect(await post(`${SERVICE}/${method}`, init)).toBe(status);
    expect(await recorded()).toEqual([event("unknown", outcome, `AdminService.${method}`)]);
  });

  test.each([`${SERVICE}/Nope`, "/datacrawl.authz.v9.AdminService/ListAgents", `${SERVICE}/listAgents`])(
    "may name a method that there is not: %s",
    async (path) => {
      expect(await post(path, { headers: { ...JSON_TYPE, cookie }, body: "{}" })).toBe(404);
      expect(await recorded()).toEqual([event("unknown", "METHOD_NOT_SERVED", "unknown", path)]);
    },
  );

  test.each<[string, string, string]>([
    ["for another host", "host: evil.example", "HOST_NOT_ALLOWED"],
    [
      "with two credentials",
      "host: localhost\r\nauthorization: Bearer a\r\nauthorization: Bearer b",
      "REQUEST_MALFORMED",
    ],
  ])("is a stranger's %s, whatever its cookie, and so is one for no method", async (_, headers, outcome) => {
    for (const method of ["ListAgents", "Nope"]) {
      const head = `POST ${SERVICE}/${method} HTTP/1.1\r\n${headers}\r\ncookie: ${cookie}\r\ncontent-type: application/json`;
      const answer = await rawHttp(fixture.url, `${head}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}`);
      expect(answer).toMatch(/^HTTP\/1\.1 40[034] /);
    }
    expect(await recorded()).toEqual([
      event("unknown", outcome, "AdminService.ListAgents"),
      event("unknown", outcome, "unknown", `${SERVICE}/Nope`),
    ]);
  });

  test("over the socket it is recorded as the socket's", async () => {
    const over = async (path: string, body: string): Promise<string> => {
      const socket = connect(fixture.socketPath);
      const head = `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close`;
      socket.write(`${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      return (await text(socket)).split("\r\n")[0] ?? "";
    };
    expect(await over(`${SERVICE}/CreateAgent`, "}{")).toContain("400");
    expect(await over(`${SERVICE}/Nope`, "{}")).toContain("404");
    const from = { from: "socket" };
    expect(await recorded()).toMatchObject([
      { actor: "socket", detail: { ...from, outcome: "REQUEST_MALFORMED" } },
      { actor: "unknown", subject: `${SERVICE}/Nope`, detail: { ...from, outcome: "METHOD_NOT_SERVED" } },
    ]);
  });

  test("may be cut off: then nobody is told, and the trail is", async () => {
    const { port, hostname: host } = new URL(fixture.url);
    const socket = connect({ host, port: Number(port) });
    const head = `POST ${SERVICE}/CreateAgent HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncookie: ${cookie}`;
    socket.write(`${head}\r\ncontent-length: 100\r\n\r\n{"agentId":`, () => setTimeout(() => socket.destroy(), 200));
    await waitUntil(async () => (await recorded()).length > 0, 20_000, "nothing is recorded");
    expect(await recorded()).toEqual([event("operator:alice", "CANCELED")]);
  });

  test("is not answered as refused while the trail cannot be written", async () => {
    await query(fixture.store.database, "ALTER TABLE audit_events RENAME TO audit_events_away");
    try {
      expect(await post(`${SERVICE}/Nope`, { headers: JSON_TYPE, body: "{}" })).toBe(503);
      expect(await post(`${SERVICE}/ListAgents`, { headers: { "content-type": "text/plain" }, body: "{}" })).toBe(503);
      expect(await post(`${SERVICE}/ListAgents`, { headers: { ...JSON_TYPE, cookie }, body: "}{" })).toBe(503);
    } finally {
      await query(fixture.store.database, "ALTER TABLE audit_events_away RENAME TO audit_events");
    }
  });

  test("makes no more rows than strangers may make", async () => {
    const attempts = Array.from({ length: 150 }, () => post(`${SERVICE}/Nope`, { headers: JSON_TYPE, body: "{}" }));
    expect(new Set(await Promise.all(attempts))).toEqual(new Set([404]));
    const rows = (await recorded()).length;
    expect(rows).toBeLessThan(100);
    await fixture.admin.trail.report();
    const [report] = (await recorded()).slice(-1);
    expect(report).toMatchObject({ kind: "admin.refused" });
    const [refused] = (report as TrailEvent).detail["refused"] as unknown[];
    expect(refused).toMatchObject({ method: "unknown", outcome: "METHOD_NOT_SERVED", count: 150 - rows });
  });
});
