import { ScalarType } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { ACCESS, type AdminMethod } from "../../../src/server/admin/access.ts";
import {
  addOperator,
  call,
  cookieOf,
  type AdminFixture,
  openAdminFixture,
  type Reply,
  reasonOf,
  signIn,
} from "./admin-fixture.ts";
import { query } from "../../support/sql.ts";

const UUID = "0195e0b2-0000-7000-8000-000000000001";

let fixture: AdminFixture;
let cookie: string;

const postgres = inject("postgresUrl");
const KINDS = [
  { name: "embedded", options: {} },
  ...(postgres === null ? [] : [{ name: "Postgres", options: { postgres } }]),
];

const methods = Object.values(AdminService.method).filter(({ methodKind }) => methodKind === "unary");
const adminCall = (name: string, request: object): Promise<Reply> =>
  call(fixture.url, `AdminService/${name}`, request, { cookie });
const refusal = (reply: Reply) => ({ status: reply.status, reason: reasonOf(reply) });

const lastEvent = async (): Promise<unknown> => {
  const [row] = await query<{ actor: string; detail: string }>(
    fixture.store.database,
    "SELECT actor, detail FROM audit_events ORDER BY event_id DESC LIMIT 1",
  );
  const { method, outcome } = JSON.parse(row?.detail ?? "{}") as Record<string, unknown>;
  return { actor: row?.actor, method, outcome };
};

/** For each field of text, also of messages in messages: a request in which it alone is given, and holds NUL. */
function poisoned(fields: (typeof methods)[number]["input"]["fields"], path: string): [string, object][] {
  return fields.flatMap((field): [string, object][] => {
    const { localName, name, message } = field;
    const named = path + name;
    if (message !== undefined && !message.typeName.startsWith("google.")) {
      const below = poisoned(message.fields, `${named}.`);
      const isList = field.fieldKind === "list";
      return below.map(([at, value]) => [isList ? named : at, { [localName]: isList ? [value] : value }]);
    }
    if (field.fieldKind === "scalar" && field.scalar === ScalarType.STRING) return [[named, { [localName]: "a\0b" }]];
    if (field.fieldKind === "list" && field.listKind === "scalar") return [[named, { [localName]: ["a", "a\0b"] }]];
    return [];
  });
}

const POISONED = methods.flatMap((method) =>
  poisoned(method.input.fields, "").map(([field, request]) => [method, field, request] as const),
);

test("there is much to poison", () => {
  expect(POISONED.length).toBeGreaterThan(60);
});

const PAGED = methods.filter(({ input }) => input.fields.some(({ name }) => name === "page_token"));
const IDS = methods.flatMap(({ name, localName, input }) =>
  input.fields
    .filter((field) => /^(?:decision|review|run)_id$/.test(field.name))
    .map((field) => [name, field.name, { localName, member: field.localName, members: input.fields }] as const),
);

describe.each(KINDS)("a call of an operator that was made by hand, on $name", ({ options }) => {
  beforeAll(async () => {
    fixture = await openAdminFixture(options);
    await addOperator(fixture, "alice", "operator");
    cookie = cookieOf(await signIn(fixture.url, "alice"));
  });
  afterAll(() => fixture.close());

  test.each(POISONED)("$name refuses NUL, and says where: %s", async ({ name, localName }, field, request) => {
    const reply = await adminCall(name, request);
    const isAllowed = ACCESS[localName as AdminMethod].role !== null;
    const reason = isAllowed ? "FIELD_INVALID" : "NOT_PERMITTED";
    expect(refusal(reply)).toEqual({ status: isAllowed ? 400 : 403, reason });
    if (isAllowed) expect(reply.body["message"]).toBe(`${field} must be text without NUL.`);
    expect(await lastEvent()).toEqual({ actor: "operator:alice", method: `AdminService.${name}`, outcome: reason });
  });

  test("a payload with NUL is tried no more than it would be decided", async () => {
    for (const payload of [{ a: ["\0"] }, { "\0": 1 }]) {
      const reply = await adminCall("TestPolicy", { agentId: "a", tool: "t", payload });
      expect(refusal(reply)).toEqual({ status: 400, reason: "FIELD_INVALID" });
    }
  });

  test("a sign-in with NUL is refused, and makes no session", async () => {
    for (const further of [{ name: "al\0ice" }, { password: "correct horse\0" }, { totpCode: "\0" }]) {
      const reply = await signIn(fixture.url, "alice", further);
      expect(refusal(reply)).toEqual({ status: 400, reason: "FIELD_INVALID" });
      expect(reply.headers.getSetCookie()).toEqual([]);
    }
  });

  test.each(["ListDecisions", "ListReviews", "ListCircuits", "ListCircuitBypasses"])(
    "%s says when no agent can be called what it is filtered by",
    async (name) => {
      for (const agentId of ["Billing-1", "' OR '1'='1", "-a", "\u202ea", "a".repeat(64), "a\n"]) {
        const reply = await adminCall(name, name === "ListDecisions" ? { filter: { agentId } } : { agentId });
        expect([agentId, refusal(reply)]).toEqual([agentId, { status: 400, reason: "FIELD_INVALID" }]);
      }
      const reply = await adminCall(
        name,
        name === "ListDecisions" ? { filter: { agentId: "nobody" } } : { agentId: "nobody" },
      );
      expect(reply.status).toBe(200);
    },
  );

  test.each(PAGED)("$name takes no page token and no page size that somebody made up", async ({ name }) => {
    const tokens = ["-1", "1E9", "' OR 1=1 --", "\u001b[2J", "Zz", "9".repeat(400), "../..", "=", "\u202e", "é"];
    for (const pageToken of tokens) {
      expect([pageToken, refusal(await adminCall(name, { pageToken }))]).toEqual([
        pageToken,
        { status: 400, reason: "FIELD_INVALID" },
      ]);
    }
    for (const pageSize of [-1, 1001, 2 ** 31 - 1])
      expect(refusal(await adminCall(name, { pageSize }))).toEqual({ status: 400, reason: "FIELD_INVALID" });
  });

  test("a page token leads on in its own list alone, and under its own filter", async () => {
    const guard = "0195e0b2-0000-7000-8000-000000000001";
    await query(
      fixture.store.database,
      "INSERT INTO guard_circuits VALUES ('a1', $1::text::uuid, '{}'), ('b1', $1::text::uuid, '{}')",
      [guard],
    );
    const list = async (request: object): Promise<{ agents: string[]; next: string | undefined }> => {
      const { body } = await adminCall("ListCircuits", { pageSize: 1, ...request });
      const circuits = body["circuits"] as { agentId: string }[];
      return { agents: circuits.map(({ agentId }) => agentId), next: body["nextPageToken"] as string | undefined };
    };
    const { agents, next: pageToken } = await list({});
    expect(agents).toEqual(["a1"]);
    expect(await list({ pageToken })).toEqual({ agents: ["b1"], next: undefined });
    for (const [name, filter] of [
      ["ListCircuits", { agentId: "b1" }],
      ["ListCircuits", { excludeClosed: true }],
      ["ListAgents", {}],
      ["ListOperators", {}],
    ] as const) {
      const reply = await adminCall(name, { ...filter, pageToken });
      expect([name, refusal(reply)]).toEqual([name, { status: 400, reason: "FIELD_INVALID" }]);
    }
  });

  test.each(IDS)("%s refuses a %s that is no UUID", async (name, field, { localName, member, members }) => {
    const isAllowed = ACCESS[localName as AdminMethod].role !== null;
    const reason = isAllowed ? "FIELD_INVALID" : "NOT_PERMITTED";
    const others = members.filter((other) => other.name === "reason" || other.name === "comment");
    const request = Object.fromEntries(others.map((other) => [other.localName, "why"]));
    for (const id of ["17", "' OR '1'='1", `${UUID.slice(0, -1)}g`, `${UUID}\n`]) {
      const reply = await adminCall(name, { ...request, [member]: id });
      expect([id, refusal(reply)]).toEqual([id, { status: isAllowed ? 400 : 403, reason }]);
      if (isAllowed) expect(reply.body["message"]).toBe(`${field} must be a UUID.`);
    }
  });
});
