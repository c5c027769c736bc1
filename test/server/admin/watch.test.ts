import { type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { Decision } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { WatchAdminRequestSchema, WatchAdminResponse } from "@datacrawl/proto/datacrawl/authz/v1/overview_pb";
import { LIMITS } from "../../../src/server/limits/limits.ts";
import { SqlRecordStore } from "../../../src/store/records.ts";
import { entryFor } from "../../support/entries.ts";
import { addOperator, call, cookieOf, eventsOf, type AdminFixture, openAdminFixture, signIn } from "./admin-fixture.ts";
import { query } from "../../support/sql.ts";

let fixture: AdminFixture;
let admin: Client<typeof AdminService>;
beforeAll(async () => {
  fixture = await openAdminFixture();
  await addOperator(fixture, "vera", "viewer");
  admin = createClient(AdminService, createConnectTransport({ baseUrl: fixture.url, httpVersion: "1.1" }));
});
afterAll(() => fixture.close());

interface Watch {
  readonly messages: WatchAdminResponse[];
  readonly stop: () => void;
  /** How it ended, as a code's name. */
  readonly ended: Promise<string>;
}

function watchAs(cookie: string, request: MessageInitShape<typeof WatchAdminRequestSchema>): Watch {
  const caller = new AbortController();
  const messages: WatchAdminResponse[] = [];
  const follow = async (): Promise<string> => {
    try {
      const options = { headers: { cookie }, signal: caller.signal };
      for await (const message of admin.watchAdmin(request, options)) messages.push(message);
      return "end";
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      return `${Code[code]}: ${rawMessage}`;
    }
  };
  return { messages, stop: () => caller.abort(), ended: follow() };
}

async function decide(change: Parameters<typeof entryFor>[1] = {}): Promise<string> {
  const entry = entryFor(crypto.randomUUID(), change);
  await new SqlRecordStore(fixture.store.database.kysely).recordBatch([entry]);
  return entry.row.decisionId;
}

const idsOf = ({ messages }: Watch): string[] =>
  messages.flatMap(({ decisions }) => decisions.map((one) => one.decisionId));

/** Of the whole hour, as last told: a minute may end between two decisions, or before they are told of. */
function countsOf({ messages }: Watch): { allowed: bigint; deniedByPolicy: bigint } {
  const minutes = messages.findLast(({ overview }) => overview !== undefined)?.overview?.minutes ?? [];
  const sum = (outcome: "allowed" | "deniedByPolicy"): bigint =>
    minutes.reduce((total, { counts }) => total + (counts?.[outcome] ?? 0n), 0n);
  return { allowed: sum("allowed"), deniedByPolicy: sum("deniedByPolicy") };
}

describe("a watch", () => {
  test("is for who has signed in, and each is in the trail before it begins", async () => {
    expect(await watchAs("", { overview: true }).ended).toMatch(/^Unauthenticated/);
    const watch = watchAs(cookieOf(await signIn(fixture.url, "vera")), { overview: true });
    await expect.poll(() => watch.messages.length).toBeGreaterThan(0);
    const calls = (await eventsOf(fixture)).filter(({ detail }) => detail["method"] === "AdminService.WatchAdmin");
    expect(calls.map(({ actor, detail }) => [actor, detail["outcome"]])).toEqual([
      ["unknown", "CREDENTIAL_MISSING"],
      ["operator:vera", "ok"],
    ]);
    watch.stop();
    await watch.ended;
  });

  test("brings the overview at once, new decisions that match, and a word every five seconds", async () => {
    const cookie = cookieOf(await signIn(fixture.url, "vera"));
    const watch = watchAs(cookie, { overview: true, decisions: { decisions: [Decision.DENY] } });
    await expect.poll(() => watch.messages.length).toBeGreaterThan(0);
    expect(watch.messages[0]?.overview?.minutes).toHaveLength(60);
    await decide();
    const denied = await decide({ decision: "deny", reason: "RULE_DENIED" });
    await expect.poll(() => idsOf(watch)).toEqual([denied]);
    await expect.poll(() => countsOf(watch)).toEqual({ allowed: 1n, deniedByPolicy: 1n });
    const heard = watch.messages.length;
    await expect.poll(() => watch.messages.length).toBeGreaterThan(heard);
    watch.stop();
    expect(await watch.ended).toMatch(/^Canceled/);
  }, 30_000);

  test("goes on where another one ended, and takes no token that is none", async () => {
    const cookie = cookieOf(await signIn(fixture.url, "vera"));
    const filter = { agentId: "resumer" };
    const first = watchAs(cookie, { decisions: filter });
    const before = await decide({ agentId: "resumer" });
    await expect.poll(() => idsOf(first)).toEqual([before]);
    first.stop();
    await first.ended;
    const missed = [await decide({ agentId: "resumer" }), await decide({ agentId: "resumer" })];
    const resumeToken = first.messages.at(-1)?.resumeToken as string;
    const second = watchAs(cookie, { decisions: filter, resumeToken });
    const next = await decide({ agentId: "resumer" });
    await expect.poll(() => idsOf(second).filter((id) => id !== before)).toEqual([...missed, next]);
    second.stop();
    for (const request of [
      { decisions: { agentId: "other" }, resumeToken },
      { decisions: filter, resumeToken: "made-by-hand" },
    ]) {
      expect(await watchAs(cookie, request).ended).toMatch(/^InvalidArgument: resume_token/);
    }
  }, 30_000);

  test.each([
    [
      "signs out",
      "tom",
      async (cookie: string) => void (await call(fixture.url, "SessionService/SignOut", {}, { cookie })),
    ],
    ["is removed", "tim", async () => void (await fixture.admin.accounts.remove("tim", "test"))],
  ])(
    "ends when its operator %s, and keeps no session alive",
    { tags: ["full"], timeout: 40_000 },
    async (_, name, end) => {
      await addOperator(fixture, name, "viewer");
      const cookie = cookieOf(await signIn(fixture.url, name));
      const watch = watchAs(cookie, { overview: true });
      await expect.poll(() => watch.messages.length).toBeGreaterThan(0);
      await query(fixture.store.database, "UPDATE operator_sessions SET used_at = now() - interval '29 minutes'");
      const heard = watch.messages.length;
      await expect.poll(() => watch.messages.length).toBeGreaterThan(heard + 1);
      const used = "SELECT FROM operator_sessions WHERE used_at > now() - interval '28 minutes'";
      expect(await query(fixture.store.database, used)).toEqual([]);
      await end(cookie);
      expect(await watch.ended).toMatch(/^Unauthenticated/);
    },
  );

  test("is one of a bounded number for each operator", async () => {
    const cookie = cookieOf(await signIn(fixture.url, "vera"));
    const watches = Array.from({ length: LIMITS.streamsPerCaller }, () => watchAs(cookie, { overview: true }));
    await expect.poll(() => watches.every(({ messages }) => messages.length > 0)).toBe(true);
    expect(await watchAs(cookie, {}).ended).toMatch(/^ResourceExhausted: operator:vera has 32 streams open/);
    for (const watch of watches) watch.stop();
    await Promise.all(watches.map(({ ended }) => ended));
    const again = watchAs(cookie, {});
    await expect.poll(() => again.messages.length).toBe(1);
    again.stop();
    await again.ended;
  }, 30_000);
});
