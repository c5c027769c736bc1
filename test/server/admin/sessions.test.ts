import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashEvent } from "../../../src/audit/row/hash.ts";
import {
  addOperator,
  call,
  cookieOf,
  eventsOf,
  type AdminFixture,
  openAdminFixture,
  PASSWORD,
  reasonOf,
  signIn,
} from "./admin-fixture.ts";
import { query } from "../../support/sql.ts";

let fixture: AdminFixture;
beforeAll(async () => {
  fixture = await openAdminFixture();
  await addOperator(fixture, "alice", "operator");
  await addOperator(fixture, "vera", "viewer");
});
afterAll(() => fixture.close());

const listAgents = (headers: Record<string, string>) => call(fixture.url, "AdminService/ListAgents", {}, headers);

describe("a session", () => {
  test("begins with a password, and its cookie is out of scripts' and other sites' reach", async () => {
    const reply = await signIn(fixture.url, "alice");
    expect(reply.body["session"]).toMatchObject({ name: "alice", role: "OPERATOR_ROLE_OPERATOR", methods: ["pwd"] });
    const [cookie] = reply.headers.getSetCookie();
    expect(cookie).toMatch(/^datacrawl_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/);
    const token = cookieOf(reply).split("=")[1] as string;
    expect(JSON.stringify(reply.body)).not.toContain(token);
    expect((await listAgents({ cookie: cookieOf(reply) })).status).toBe(200);
  });

  test("ends with signing out: its cookie is worth nothing from then on", async () => {
    const cookie = cookieOf(await signIn(fixture.url, "alice"));
    const out = await call(fixture.url, "SessionService/SignOut", {}, { cookie });
    expect(out.status).toBe(200);
    expect(out.headers.getSetCookie()[0]).toContain("datacrawl_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    const replayed = await listAgents({ cookie });
    expect([replayed.status, reasonOf(replayed)]).toEqual([401, "SESSION_ENDED"]);
    expect((await call(fixture.url, "SessionService/SignOut", {}, { cookie })).status).toBe(200);
  });

  test("is replaced by another sign-in of the same browser", async () => {
    const first = cookieOf(await signIn(fixture.url, "alice"));
    const second = cookieOf(
      await call(fixture.url, "SessionService/SignIn", { name: "alice", password: PASSWORD }, { cookie: first }),
    );
    expect((await listAgents({ cookie: first })).status).toBe(401);
    expect((await listAgents({ cookie: second })).status).toBe(200);
  });

  test.each([
    ["half an hour without use", "used_at = now() - interval '31 minutes'"],
    ["twelve hours in all", "signed_in_at = now() - interval '12 hours 1 minute'"],
  ])("ends after %s", async (_, past) => {
    const cookie = cookieOf(await signIn(fixture.url, "vera"));
    await query(fixture.store.database, `UPDATE operator_sessions SET ${past} WHERE name = 'vera'`);
    expect(reasonOf(await listAgents({ cookie }))).toBe("SESSION_ENDED");
  });

  test("is prolonged by use", async () => {
    const cookie = cookieOf(await signIn(fixture.url, "vera"));
    await query(fixture.store.database, "UPDATE operator_sessions SET used_at = now() - interval '29 minutes'");
    expect((await listAgents({ cookie })).status).toBe(200);
    const rows = await query(
      fixture.store.database,
      "SELECT FROM operator_sessions WHERE name = 'vera' AND used_at > now() - interval '1 minute'",
    );
    expect(rows).toHaveLength(1);
  });

  test.each([
    "datacrawl_session=",
    "datacrawl_session=x",
    `datacrawl_session=${"A".repeat(43)}`,
    "__Host-datacrawl_session=x",
  ])("is not made up: %s", async (cookie) => {
    expect((await listAgents({ cookie })).status).toBe(401);
  });

  test("is not taken from two cookies of its name", async () => {
    const cookie = cookieOf(await signIn(fixture.url, "alice"));
    expect((await listAgents({ cookie: `${cookie}; datacrawl_session=${"A".repeat(43)}` })).status).toBe(401);
  });

  test("is stored as a hash: the table does not hold what a cookie holds", async () => {
    const token = cookieOf(await signIn(fixture.url, "alice")).split("=")[1] as string;
    const rows = await query(
      fixture.store.database,
      "SELECT row_to_json(operator_sessions)::text AS row FROM operator_sessions",
    );
    expect(JSON.stringify(rows)).not.toContain(token);
    expect(JSON.stringify(rows)).not.toContain(Buffer.from(token).toString("hex"));
  });
});

describe("changes of an account", () => {
  test.each<[string, (name: string) => Promise<unknown>]>([
    ["a new password", (name) => fixture.admin.accounts.setPassword(name, `${PASSWORD} two`, "test")],
    ["its removal", (name) => fixture.admin.accounts.remove(name, "test")],
    ["one-time codes", (name) => fixture.admin.accounts.enableTotp(name, "test")],
  ])("end its sessions: %s", async (what, change) => {
    const name = `ended-${what.replaceAll(" ", "-")}`;
    await addOperator(fixture, name, "viewer");
    const cookie = cookieOf(await signIn(fixture.url, name));
    await change(name);
    expect(reasonOf(await listAgents({ cookie }))).toBe("SESSION_ENDED");
    expect((await signIn(fixture.url, name)).status).toBe(401);
  });

  test("a new role holds in its sessions at once", async () => {
    await addOperator(fixture, "rolf", "operator");
    const cookie = cookieOf(await signIn(fixture.url, "rolf"));
    const create = (agentId: string) => call(fixture.url, "AdminService/CreateAgent", { agentId }, { cookie });
    expect((await create("made-by-rolf")).status).toBe(200);
    await fixture.admin.accounts.setRole("rolf", "viewer", "test");
    expect((await create("made-by-rolf-2")).status).toBe(403);
  });

  test("a name is never used twice", async () => {
    await addOperator(fixture, "gone", "viewer");
    await fixture.admin.accounts.remove("gone", "test");
    for (const name of ["gone", "alice"]) {
      await expect(fixture.admin.accounts.create(name, "viewer", PASSWORD, "test")).rejects.toMatchObject({
        code: "OPERATOR_EXISTS",
      });
    }
  });
});

describe("the port", () => {
  let cookie: string;
  beforeAll(async () => {
    cookie = cookieOf(await signIn(fixture.url, "alice"));
  });

  test.each([
    ["no credential", {}, "CREDENTIAL_MISSING"],
    ["an agent's key", { authorization: `Bearer dc_agent_demo_0123456789ab_${"0".repeat(64)}` }, "CREDENTIAL_UNKNOWN"],
    ["a token of nobody's", { authorization: "Bearer x.y.z" }, "CREDENTIAL_UNKNOWN"],
    ["basic authentication", { authorization: "Basic YWxpY2U6eA==" }, "CREDENTIAL_UNKNOWN"],
  ])("lets nobody in with %s", async (_, headers: Record<string, string>, reason) => {
    const reply = await listAgents(headers);
    expect([reply.status, reasonOf(reply)]).toEqual([401, reason]);
  });

  test("tells pages of other sites nothing, and is not shown in their frames", async () => {
    const { headers } = await signIn(fixture.url, "vera");
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    expect(headers.get("cache-control")).toBe("no-store");
    expect([...headers.keys()].filter((name) => name.startsWith("access-control-"))).toEqual([]);
    const preflight = await fetch(`${fixture.url}/datacrawl.authz.v1.AdminService/ListAgents`, { method: "OPTIONS" });
    expect([...preflight.headers.keys()].filter((name) => name.startsWith("access-control-"))).toEqual([]);
    expect(preflight.ok).toBe(false);
  });

  test.each<[string, Record<string, string>]>([
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["a neighbouring port or host", { "sec-fetch-site": "same-site" }],
    ["a link or bookmark", { "sec-fetch-site": "none" }],
    ["another origin", { origin: "https://evil.example" }],
    ["another port's origin", { origin: "http://127.0.0.1:1" }],
    ["a sandboxed frame", { origin: "null" }],
  ])("refuses what %s makes a browser send, a sign-in too", async (_, headers) => {
    const change = await call(fixture.url, "AdminService/CreateAgent", { agentId: "forged" }, { cookie, ...headers });
    expect([change.status, reasonOf(change)]).toEqual([403, "CROSS_SITE"]);
    const login = await call(fixture.url, "SessionService/SignIn", { name: "alice", password: PASSWORD }, headers);
    expect([login.status, reasonOf(login)]).toEqual([403, "CROSS_SITE"]);
    expect(login.headers.getSetCookie()).toEqual([]);
    expect((await listAgents({ cookie })).body).not.toMatchObject({ agents: [{ agentId: "forged" }] });
  });

  test("takes what its own pages send", async () => {
    const own = { cookie, "sec-fetch-site": "same-origin", origin: fixture.url };
    expect((await listAgents(own)).status).toBe(200);
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])(
    "takes no form's content type, which needs no preflight: %s",
    async (type) => {
      const reply = await call(
        fixture.url,
        "AdminService/CreateAgent",
        { agentId: "formed" },
        { cookie, "content-type": type },
      );
      expect(reply.status).toBe(415);
    },
  );

  test("answers no GET, which needs no preflight either", async () => {
    const url = `${fixture.url}/datacrawl.authz.v1.AdminService/ListAgents?connect=v1&encoding=json&message=%7B%7D`;
    expect((await fetch(url, { headers: { cookie } })).status).toBe(405);
  });
});

describe("over the socket", () => {
  test("the change of an account is the socket's; a session that has ended does not fall back to it", async () => {
    const { request } = await import("node:http");
    const post = (method: string, body: object, headers: Record<string, string> = {}): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const path = `/datacrawl.authz.v1.${method}`;
        const all = { "content-type": "application/json", ...headers };
        request({ socketPath: fixture.socketPath, path, method: "POST", headers: all }, (response) => {
          response.resume().on("end", () => resolve(response.statusCode));
        })
          .on("error", reject)
          .end(JSON.stringify(body));
      });
    const add = { name: "sam", role: "OPERATOR_ROLE_VIEWER", password: PASSWORD };
    expect(await post("AdminService/CreateOperator", add)).toBe(200);
    expect(await post("AdminService/ListAgents", {}, { cookie: `datacrawl_session=${"A".repeat(43)}` })).toBe(401);
    const made = (await eventsOf(fixture)).find(({ kind, subject }) => kind === "operator.added" && subject === "sam");
    expect(made?.actor).toBe("socket");
  });
});

describe("TLS", () => {
  test("makes the cookie one that is never sent in clear, and no other is taken", async () => {
    const secure = await openAdminFixture({ tls: true });
    await addOperator(secure, "alice", "operator");
    const { request } = await import("node:https");
    const post = (method: string, body: object, headers: Record<string, string> = {}) =>
      new Promise<{ status: number | undefined; cookie: string }>((resolve, reject) => {
        const all = { "content-type": "application/json", ...headers };
        const url = `${secure.url}/datacrawl.authz.v1.${method}`;
        request(url, { method: "POST", headers: all, ca: secure.ca, servername: "localhost" }, (response) => {
          const cookie = response.headers["set-cookie"]?.[0] ?? "";
          response.resume().on("end", () => resolve({ status: response.statusCode, cookie }));
        })
          .on("error", reject)
          .end(JSON.stringify(body));
      });
    try {
      const { cookie } = await post("SessionService/SignIn", { name: "alice", password: PASSWORD });
      expect(cookie).toMatch(
        /^__Host-datacrawl_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+; Secure$/,
      );
      const pair = cookie.split(";")[0] as string;
      expect((await post("AdminService/ListAgents", {}, { cookie: pair })).status).toBe(200);
      expect((await post("AdminService/ListAgents", {}, { cookie: pair.replace("__Host-", "") })).status).toBe(401);
    } finally {
      await secure.close();
    }
  });
});

describe("the trail", () => {
  test("knows who called what, from where, about what, and what came of it; and no secret", async () => {
    const cookie = cookieOf(await signIn(fixture.url, "alice"));
    await call(fixture.url, "AdminService/CreateAgent", { agentId: "traced" }, { cookie });
    await call(fixture.url, "AdminService/CreateAgent", { agentId: "traced" }, { cookie });
    await call(fixture.url, "AdminService/CreateAgent", { agentid: "malformed" }, { cookie });
    await call(
      fixture.url,
      "AdminService/GetDecision",
      { decisionId: "x" },
      { cookie: cookieOf(await signIn(fixture.url, "vera")) },
    );
    await signIn(fixture.url, "alice", { password: "hunter2hunter2" });
    const events = await eventsOf(fixture);
    const about = (method: string) => events.filter(({ detail }) => detail["method"] === method).slice(-3);
    const from = "127.0.0.1";
    expect(about("AdminService.CreateAgent")).toEqual([
      {
        kind: "admin.call",
        actor: "operator:alice",
        subject: "traced",
        detail: { method: "AdminService.CreateAgent", from, outcome: "ok" },
      },
      {
        kind: "admin.call",
        actor: "operator:alice",
        subject: "traced",
        detail: { method: "AdminService.CreateAgent", from, outcome: "AGENT_EXISTS" },
      },
      {
        kind: "admin.call",
        actor: "operator:alice",
        subject: null,
        detail: { method: "AdminService.CreateAgent", from, outcome: "REQUEST_MALFORMED" },
      },
    ]);
    expect(about("AdminService.GetDecision").at(-1)).toMatchObject({ actor: "operator:vera", subject: "x" });
    expect(about("SessionService.SignIn").at(-1)).toMatchObject({
      actor: "unknown",
      subject: "alice",
      detail: { from, outcome: "SIGN_IN_FAILED" },
    });
    const text = JSON.stringify(events);
    expect(text).not.toContain("hunter2");
    expect(text).not.toContain(PASSWORD);
    expect(text).not.toContain(cookie.split("=")[1]);
  });

  test("comes before the answer: while it cannot be written, reads fail too", async () => {
    const cookie = cookieOf(await signIn(fixture.url, "alice"));
    await query(fixture.store.database, "ALTER TABLE audit_events RENAME TO audit_events_away");
    try {
      const headers: Record<string, string>[] = [{ cookie }, {}];
      for (const reply of await Promise.all(headers.map(listAgents))) {
        expect([reply.status, reasonOf(reply)]).toEqual([503, "STORE_UNAVAILABLE"]);
        expect(reply.body).not.toHaveProperty("agents");
      }
      expect((await signIn(fixture.url, "alice")).headers.getSetCookie()).toEqual([]);
    } finally {
      await query(fixture.store.database, "ALTER TABLE audit_events_away RENAME TO audit_events");
    }
    expect((await listAgents({ cookie })).status).toBe(200);
  });

  test("is hashed as any other event", async () => {
    const [row] = await query<Record<string, string>>(
      fixture.store.database,
      `SELECT event_id::text, (extract(epoch from recorded_at) * 1000000)::bigint::text AS recorded_at, kind, actor, subject,
         decision_id::text, detail, encode(hash, 'hex') AS hash FROM audit_events WHERE kind = 'admin.call' LIMIT 1`,
    );
    const { event_id, recorded_at, kind, actor, subject, detail } = row as Record<string, string>;
    const event = {
      eventId: event_id,
      recordedAt: Number(recorded_at),
      kind,
      actor,
      subject,
      decisionId: null,
      detail,
    };
    expect(hashEvent(event as Parameters<typeof hashEvent>[0]).toString("hex")).toBe(row?.["hash"]);
  });
});
