import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebhookOperations } from "../../src/admin/webhooks.ts";
import { makeEvent } from "../../src/audit/row/event.ts";
import { digestPayload, hashDecision } from "../../src/audit/row/hash.ts";
import { systemClock } from "../../src/core/clock.ts";
import { SqlEventStore } from "../../src/store/events.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { SqlOutbox } from "../../src/store/webhooks.ts";
import {
  Deliverer,
  DELIVERER_LIMITS,
  type DelivererLimits,
  type Leased,
  messageId,
} from "../../src/webhook/deliverer.ts";
import { post } from "../../src/webhook/send.ts";
import { newWebhookSecret } from "../../src/keys/service-keys.ts";
import { entryFor, random } from "../support/entries.ts";
import { waitUntil } from "../support/net.ts";
import { isSigned, Receiver } from "../support/receiver.ts";
import { storeKinds, type TestStore } from "../support/stores.ts";
import { query } from "../support/sql.ts";
import { chanceOf } from "../support/chance.ts";

const chance = chanceOf("deliverer");

const secret = randomBytes(32);
const FAST: DelivererLimits = { ...DELIVERER_LIMITS, attemptMs: 1_000, leaseMs: 3_000, idleMs: 20 };
const PATIENCE = 20_000;

describe.each(storeKinds())("telling a webhook, with the $name store", ({ open }) => {
  let store: TestStore;
  let outbox: SqlOutbox;
  let receiver: Receiver;
  let deliverers: Deliverer[] = [];
  const problems: string[] = [];
  const buried: string[] = [];

  beforeAll(async () => {
    store = await open();
    outbox = new SqlOutbox(store.database.kysely);
    receiver = await new Receiver().open();
  });
  afterEach(async () => {
    await Promise.all(deliverers.map((deliverer) => deliverer.close()));
    deliverers = [];
    await receiver.close();
    receiver = await new Receiver().open();
    problems.length = 0;
    buried.length = 0;
    await query(store.database, "DELETE FROM webhook_messages");
  });
  afterAll(async () => {
    await receiver.close();
    await store.close();
  });

  function deliver(url = receiver.url, limits = FAST): Deliverer {
    const deliverer = new Deliverer(
      {
        outbox,
        secrets: async () => [secret],
        post: (headers, body, signal) => post(url, headers, body, signal),
        publicUrl: "https://dc.example.com",
        now: () => systemClock.now(),
        chance: () => 0,
        observe: {
          delivered: () => undefined,
          failed: (_, problem) => problems.push(problem),
          buried: (message, problem) => buried.push(`${messageId(message)}: ${problem}`),
          broken: (error) => problems.push(String(error)),
        },
      },
      limits,
    );
    deliverer.start();
    deliverers.push(deliverer);
    return deliverer;
  }

  /** Records an event, as every administrative change does, and gives the id that its message will have. */
  async function happen(kind: string, subject: string, detail: Record<string, string> = {}): Promise<string> {
    const event = makeEvent({ kind, actor: "operator:ann", subject, detail }, systemClock.now(), random);
    await new SqlEventStore(store.database.kysely).append(event);
    return `msg_${event.row.eventId}`;
  }

  async function decide(change: Parameters<typeof entryFor>[1], payload: string): Promise<string> {
    const { row: made, payload: kept } = entryFor(`key-${randomBytes(4).toString("hex")}`, change);
    const salt = kept?.salt ?? random.take(16);
    const row = { ...made, payloadDigest: digestPayload(salt, payload) };
    const entry = {
      ...entryFor("x"),
      row,
      hash: hashDecision(row),
      payload: { salt, canonical: payload },
      claim: null,
    };
    await new SqlRecordStore(store.database.kysely).recordBatch([entry]);
    return row.decisionId;
  }

  const pending = async (): Promise<number> => (await outbox.figures()).pending;
  const allTold = (count: number): Promise<void> =>
    waitUntil(async () => receiver.received.length >= count && (await pending()) === 0, PATIENCE, "not all was told");
  const dueNow = (): Promise<unknown> => query(store.database, "UPDATE webhook_messages SET due_at = now()");

  test("tells each event of its kinds once, signed, and no other", async () => {
    const untold = ["agent.created", "admin.call", "authentication.refused", "review.opened"];
    for (const kind of untold) await happen(kind, "billing-1");
    const ids = [await happen("agent.frozen", "billing-1", { reason: "odd" }), await happen("bypass.set", "billing-2")];
    deliver();
    await allTold(2);
    expect(receiver.ids.toSorted()).toEqual(ids.toSorted());
    const frozen = receiver.received.find(({ type }) => type === "agent.frozen");
    expect(frozen?.data).toMatchObject({ subject: "billing-1", actor: "operator:ann", detail: { reason: "odd" } });
    expect(frozen?.headers["content-type"]).toBe("application/json");
    for (const message of receiver.received) {
      expect(isSigned(message, newWebhookSecret(secret))).toBe(true);
      expect(isSigned(message, newWebhookSecret(randomBytes(32)))).toBe(false);
      expect(isSigned({ ...message, body: `${message.body} ` }, newWebhookSecret(secret))).toBe(false);
    }
  });

  test("tells of reviews by their decisions, in their order, with the payload as it is stored", async () => {
    const reviewId = crypto.randomUUID();
    const opened = await decide(
      { decision: "needs_review", reason: "REVIEW_PENDING", reviewId, tool: "vault.open" },
      '{"pin":{"$redacted":"hmac-sha256-128:00"}}',
    );
    await decide({ decision: "allow", reason: "REVIEW_APPROVED", reviewId, linkedDecisionId: opened }, "{}");
    await decide({ decision: "allow", reason: "RULE_ALLOWED" }, '{"told":false}');
    await decide({ decision: "deny", reason: "AGENT_FROZEN", reviewId }, '{"told":false}');
    deliver();
    await allTold(2);
    expect(receiver.received.map(({ type }) => type)).toEqual(["review.opened", "review.resolved"]);
    expect(receiver.received.map(({ data }) => data)).toMatchObject([
      {
        decisionId: opened,
        reviewId,
        tool: "vault.open",
        payloadExcerpt: '{"pin":{"$redacted":"hmac-sha256-128:00"}}',
        link: `https://dc.example.com/reviews/${reviewId}`,
      },
      { reason: "REVIEW_APPROVED", linkedDecisionId: opened, reviewId },
    ]);
  });

  test("notes nothing of what was not recorded", async () => {
    const event = makeEvent({ kind: "agent.frozen", actor: "socket", subject: "a" }, systemClock.now(), random);
    const append = (): Promise<void> => new SqlEventStore(store.database.kysely).append(event);
    await append();
    await expect(append()).rejects.toThrow("duplicate key");
    expect(await pending()).toBe(1);
  });

  test("notes also what is recorded in months to come", async () => {
    await query(store.owner, "SELECT datacrawl_make_partition('audit_events', '2099-01-01', true)");
    const event = makeEvent({ kind: "agent.frozen", actor: "socket" }, Date.UTC(2099, 0, 5) * 1000, random);
    await new SqlEventStore(store.database.kysely).append(event);
    deliver();
    await allTold(1);
    expect(receiver.ids).toEqual([`msg_${event.row.eventId}`]);
  });

  test("tells a receiver that was down when it is back, under the same ids and in each subject's order", async () => {
    await receiver.close();
    deliver();
    const ids = [
      await happen("bypass.set", "b"),
      await happen("bypass.cleared", "b"),
      await happen("agent.frozen", "b"),
    ];
    await waitUntil(() => problems.length >= 1, PATIENCE, "nothing was tried");
    expect(problems[0]).toContain("ECONNREFUSED");
    expect(await pending()).toBe(3);
    await receiver.open();
    await waitUntil(async () => (await dueNow(), (await pending()) === 0), PATIENCE, "not told");
    expect(receiver.ids).toEqual(ids);
  });

  test.each<[string, Receiver["answer"], string]>([
    ["fails", (response) => response.writeHead(500).end("no"), "answered 500"],
    ["refuses", (response) => response.writeHead(410).end(), "answered 410"],
    [
      "redirects",
      (response) => response.writeHead(307, { location: "/elsewhere" }).end(),
      "redirects are not followed",
    ],
    ["never answers", () => undefined, "no answer within 1 s"],
    ["ends the connection", (response) => response.destroy(), "other side closed"],
    ["answers with what is no HTTP", (response) => response.socket?.end("SSH-2.0\r\n\r\n"), ""],
    [
      "sends endless headers",
      (response) => response.socket?.write(`HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(20_000)}`),
      "",
    ],
    [
      "says 100 for ever",
      (response) => void setInterval(() => response.socket?.write("HTTP/1.1 102 Processing\r\n\r\n"), 100).unref(),
      "",
    ],
  ])("keeps a message that a receiver did not take: one that %s", async (_, answer, problem) => {
    receiver.answer = answer;
    const id = await happen("agent.frozen", "b");
    deliver();
    await waitUntil(() => problems.length >= 1, PATIENCE, "it was not tried");
    expect(problems[0]).toContain(problem);
    expect(problems[0]).not.toContain("t0ken");
    expect(await pending()).toBe(1);
    receiver.answer = (response) => response.writeHead(200).end();
    await dueNow();
    await allTold(2);
    expect(new Set(receiver.ids)).toEqual(new Set([id]));
  });

  test.each<[string, Receiver["answer"]]>([
    ["megabytes", (response) => response.writeHead(200).end(Buffer.alloc(30_000_000))],
    ["endlessly", (response) => void response.writeHead(200).write("a beginning")],
    [
      "what breaks off",
      (response) => response.writeHead(200, { "content-length": "99" }).write("x", () => response.destroy()),
    ],
  ])("takes a status for an answer, also of a receiver that answers %s", async (_, answer) => {
    receiver.answer = answer;
    await happen("agent.frozen", "b");
    deliver();
    await allTold(1);
    expect(receiver.received).toHaveLength(1);
    expect(problems).toEqual([]);
  });

  test("uses one connection again", async () => {
    for (let n = 0; n < 20; n++) await happen("agent.frozen", "one agent");
    deliver();
    await allTold(20);
    expect(receiver.connections).toBeLessThan(5);
  });

  test("two replicas share the work, and tell nothing twice or out of order", async () => {
    const ids = new Map<string, string[]>(["a", "b", "c", "d", "e"].map((subject) => [subject, []]));
    for (let n = 0; n < 12; n++) for (const [subject, told] of ids) told.push(await happen("agent.frozen", subject));
    receiver.answer = (response) => void setTimeout(() => response.writeHead(204).end(), chance.unit() * 10);
    // An attempt that a slow machine cut off would be made again.
    const patient = { ...FAST, attemptMs: 20_000, leaseMs: 60_000 };
    deliver(receiver.url, patient);
    deliver(receiver.url, patient);
    await allTold(60);
    expect(receiver.received).toHaveLength(60);
    for (const [subject, told] of ids) {
      expect(receiver.received.filter(({ data }) => data["subject"] === subject).map(({ id }) => id)).toEqual(told);
    }
  });

  test("a message is told again when who had it does not come back, and who comes back late changes nothing", async () => {
    const id = await happen("agent.frozen", "b");
    const [lost] = (await outbox.lease(8, 3_000)) as [Leased];
    expect(messageId(lost)).toBe(id);
    expect(await outbox.lease(8, 3_000)).toEqual([]);
    let again: Leased[] = [];
    await waitUntil(async () => (again = await outbox.lease(8, 60_000)).length > 0, PATIENCE, "the lease does not end");
    await outbox.delivered(lost);
    await outbox.postpone(lost, 20_000, "late");
    await outbox.bury(lost, "late");
    expect(await outbox.figures()).toMatchObject({ pending: 1, dead: 0 });
    expect(await outbox.lease(8, 1_500)).toEqual([]);
    await outbox.delivered(again[0] as Leased);
    expect(await pending()).toBe(0);
  });

  test("stops at once while a receiver keeps it waiting, and leaves the message to the next", async () => {
    receiver.answer = () => undefined;
    const id = await happen("agent.frozen", "b");
    const first = deliver(receiver.url, { ...FAST, attemptMs: 60_000, leaseMs: 120_000 });
    await waitUntil(() => receiver.received.length === 1, PATIENCE, "not tried");
    await first.close();
    receiver.answer = (response) => response.writeHead(204).end();
    deliver();
    await allTold(2);
    expect(receiver.ids).toEqual([id, id]);
  });

  test("a message that fails again and again holds up others about the same only for a while", async () => {
    const stuck = await happen("agent.frozen", "b");
    const later = await happen("agent.unfrozen", "b");
    receiver.answer = (response, { id }) => response.writeHead(id === stuck ? 400 : 204).end();
    deliver();
    for (let attempts = 1; attempts <= 6; attempts++) {
      await waitUntil(() => problems.length >= attempts, PATIENCE, "it is not tried again");
      if (attempts < 6) expect(receiver.ids).not.toContain(later);
      await dueNow();
    }
    await waitUntil(() => receiver.ids.includes(later), PATIENCE, "it is held up for ever");
  });

  test("gives up after three days, and keeps the message to be seen for a month", async () => {
    const old = (days: number): Promise<unknown> =>
      query(store.database, `UPDATE webhook_messages SET created_at = now() - ${days} * interval '1 day'`);
    receiver.answer = (response) => response.writeHead(500).end();
    const id = await happen("agent.frozen", "b");
    await old(3);
    deliver();
    await waitUntil(() => buried.length === 1, PATIENCE, "it is not given up");
    expect(buried[0]).toBe(`${id}: the receiver answered 500`);
    expect(await outbox.figures()).toEqual({ pending: 0, dead: 1, oldestSeconds: 0 });
    await old(29);
    await outbox.purge();
    expect((await outbox.figures()).dead).toBe(1);
    await old(31);
    await outbox.purge();
    expect((await outbox.figures()).dead).toBe(0);
  });

  test("shows what waits and what was given up, in pages, and has it tried again by whom the trail names", async () => {
    const operations = new WebhookOperations({ messages: outbox, random, now: () => systemClock.now() });
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.unshift(await happen("agent.frozen", `a${n}`));
    await query(
      store.database,
      "UPDATE webhook_messages SET state = 'dead', problem = 'no' WHERE subject IN ('a1', 'a3')",
    );
    const page = async (state: "dead" | null, before: number | null, limit: number) => {
      const { messages, more } = await operations.list({ state, before, limit });
      return { ids: messages.map(messageId), last: messages.at(-1)?.sequence ?? 0, more, messages };
    };
    const first = await page(null, null, 3);
    expect(first).toMatchObject({ ids: ids.slice(0, 3), more: true });
    expect(await page(null, first.last, 3)).toMatchObject({ ids: ids.slice(3), more: false });
    const dead = await page("dead", null, 2);
    expect(dead).toMatchObject({ ids: [ids[1], ids[3]], more: false });
    expect(dead.messages[0]).toMatchObject({ subject: "a3", state: "dead", problem: "no", attempts: 0 });

    const retried = await operations.retry(ids[1] as string, "operator:ann");
    expect(retried).toMatchObject({ subject: "a3", state: "pending" });
    expect((await page("dead", null, 2)).ids).toEqual([ids[3]]);
    const told = await query(store.database, "SELECT actor, subject FROM audit_events WHERE kind = 'webhook.retried'");
    expect(told).toEqual([{ actor: "operator:ann", subject: ids[1] }]);
    for (const id of ["msg_00000000-0000-7000-8000-000000000000", "msg_x", "", "'; DROP TABLE x"]) {
      await expect(operations.retry(id, "socket")).rejects.toMatchObject({ code: "WEBHOOK_MESSAGE_UNKNOWN" });
    }
    expect(await query(store.database, "SELECT FROM audit_events WHERE kind = 'webhook.retried'")).toHaveLength(1);
    deliver();
    await waitUntil(() => receiver.received.length === 4, PATIENCE, "not told");
  });

  test("without a webhook, notes go after a week", async () => {
    await happen("agent.frozen", "b");
    await outbox.purge();
    expect((await outbox.figures()).oldestSeconds).toBeGreaterThanOrEqual(0);
    expect(await pending()).toBe(1);
    await query(store.database, "UPDATE webhook_messages SET created_at = now() - interval '8 days'");
    expect((await outbox.figures()).oldestSeconds).toBeGreaterThan(7 * 86_400);
    await outbox.purge();
    expect(await pending()).toBe(0);
  });

  test("goes on when the outbox cannot be read for a while", async () => {
    await query(store.owner, "ALTER TABLE webhook_messages RENAME TO elsewhere");
    deliver();
    await waitUntil(() => problems.length >= 2, PATIENCE, "it does not tell");
    await query(store.owner, "ALTER TABLE elsewhere RENAME TO webhook_messages");
    await happen("agent.frozen", "b");
    await allTold(1);
  });
});
