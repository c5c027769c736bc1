import { afterEach, describe, expect, it } from "vitest";
import type { Journal } from "../../src/journal/journal.ts";
import { MovableClock, openRig, type Rig, type RigOptions } from "../support/guard.ts";
import { allowing, type Asked, denied, fail, frozen, inReview, later, reply, serveGrpc } from "../support/service.ts";

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one.close();
});

const yes = ({ stream, request }: Asked): void => reply(stream, allowing(request));
const no = ({ stream, request }: Asked): void => reply(stream, allowing(request, denied));
const down = ({ stream }: Asked): void => fail(stream, 13);

/** A service that answers as `respond` says, and can be told to answer in another way. */
async function start(respond: (asked: Asked) => void, options: Omit<RigOptions, "url"> = {}) {
  let current = respond;
  const service = await serveGrpc((asked) => current(asked));
  opened.push({ close: () => service.stop() });
  const rig = await openRig({ url: service.url, failures: 2, ...options });
  opened.push(rig);
  return { rig, service, now: (next: (asked: Asked) => void) => void (current = next) };
}

/** Two failures of the service, about something else. */
async function openCircuit(rig: Rig): Promise<void> {
  for (let n = 0; n < 2; n++) await rig.ask({ tool: "other", payload: { n } });
  expect(rig.breaker.snapshot).toMatchObject({ state: "open", openedLocally: true });
}

async function kinds(journal: Journal): Promise<string[]> {
  return (await journal.pending(100)).map(
    ({ body }) => (JSON.parse(Buffer.from(body).toString()) as { kind: string }).kind,
  );
}

describe("with a grant, an open circuit allows", () => {
  it("and the allow is on disk before it is told", async () => {
    const { rig } = await start(down);
    await rig.grant();
    await openCircuit(rig);
    const verdict = await rig.ask({ idempotencyKey: "k" });
    expect(verdict).toMatchObject({
      decision: "allow",
      reason: "CIRCUIT_BYPASS",
      source: "guard",
      idempotencyKey: "k",
    });
    const record = (await rig.journal.pending(100)).at(-1);
    expect(JSON.parse(Buffer.from(record?.body ?? []).toString())).toMatchObject({
      kind: "bypass_allow",
      decision_id: verdict.decisionId,
      grant_id: "0198c0de-0000-7000-8000-0000000000aa",
      tool: "mail.send",
      idempotency_key: "k",
    });
  });

  it("not the calls that open it, and not the probe", async () => {
    const clock = new MovableClock();
    const { rig } = await start(down, { clock });
    await rig.grant();
    expect(await rig.ask()).toMatchObject({ reason: "SERVICE_UNAVAILABLE" });
    expect(await rig.ask()).toMatchObject({ reason: "SERVICE_UNAVAILABLE" });
    expect(await rig.ask()).toMatchObject({ reason: "CIRCUIT_BYPASS" });
    clock.ahead(40_000);
    expect(await rig.ask()).toMatchObject({ reason: "SERVICE_UNAVAILABLE" });
    expect(await rig.ask()).toMatchObject({ reason: "CIRCUIT_BYPASS" });
  });
});

describe("there is no bypass", () => {
  it("while the circuit is closed, or recovers", async () => {
    const clock = new MovableClock();
    const { rig, now } = await start(down, { clock });
    await rig.grant();
    expect(await rig.ask()).toMatchObject({ reason: "SERVICE_UNAVAILABLE" });
    await openCircuit(rig);
    now((asked) => setTimeout(() => no(asked), 20));
    clock.ahead(40_000);
    await rig.ask({ tool: "other" });
    expect(rig.breaker.snapshot.state).toBe("recovering");
    // One call is under way, so that the ramp denies most of the others: they must not be bypassed.
    const verdicts = await Promise.all(Array.from({ length: 20 }, (_, n) => rig.ask({ payload: { n } })));
    expect(verdicts.some(({ reason }) => reason === "CIRCUIT_OPEN")).toBe(true);
    expect(verdicts.filter(({ decision }) => decision === "allow")).toEqual([]);
  });

  it("while the circuit is open by order alone", async () => {
    const { rig } = await start(yes);
    await rig.grant();
    rig.breaker.force(true);
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN" });
  });

  it("while an order holds a circuit that has also opened by itself", async () => {
    const { rig } = await start(down);
    await rig.grant();
    await openCircuit(rig);
    rig.breaker.force(true);
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN" });
  });

  it("without a grant, for another tool, another agent, an expired or a revoked one", async () => {
    const { rig } = await start(down);
    await openCircuit(rig);
    const denies = { decision: "deny", reason: "CIRCUIT_OPEN" };
    expect(await rig.ask()).toMatchObject(denies);
    await rig.grant({ agentId: "agent-2", epoch: 1 });
    expect(await rig.ask()).toMatchObject(denies);
    const hourAgo = Date.now() * 1000 - 3_600_000_000;
    await rig.grant({ issuedAt: hourAgo - 1_000_000, expiresAt: hourAgo, epoch: 2 });
    expect(await rig.ask()).toMatchObject(denies);
    await rig.grant({ epoch: 3 });
    expect(await rig.ask({ tool: "mail.delete" })).toMatchObject(denies);
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    await rig.revoke(4);
    expect(await rig.ask()).toMatchObject(denies);
  });

  it.each([
    ["denied", denied],
    ["put under review", inReview],
  ])("for a request that the service has %s, under whatever key", async (_, answer) => {
    const { rig, now } = await start(({ stream, request }) => reply(stream, allowing(request, answer)));
    await rig.grant({ tools: "*" });
    await rig.ask({ payload: { amount: 5 } });
    now(down);
    await openCircuit(rig);
    expect(await rig.ask({ payload: { amount: 5 }, idempotencyKey: "another" })).toMatchObject({
      reason: "CIRCUIT_OPEN",
    });
    expect(await rig.ask({ payload: { amount: 6 } })).toMatchObject({ reason: "CIRCUIT_BYPASS" });
  });

  it("for a request that the service has refused, or denied in an answer that was spoiled", async () => {
    const { rig, now } = await start(({ stream, request }) => {
      if (request.tool === "refused") fail(stream, 7);
      else if (request.tool === "busy") fail(stream, 8);
      else reply(stream, allowing(request, { ...denied, nonce: new Uint8Array(16) }));
    });
    await rig.grant({ tools: "*" });
    for (const tool of ["refused", "busy", "spoiled"]) await rig.ask({ tool });
    now(down);
    await openCircuit(rig);
    expect(await rig.ask({ tool: "refused" })).toMatchObject({ reason: "CIRCUIT_OPEN" });
    expect(await rig.ask({ tool: "spoiled" })).toMatchObject({ reason: "CIRCUIT_OPEN" });
    expect(await rig.ask({ tool: "busy" })).toMatchObject({ reason: "CIRCUIT_BYPASS" });
  });

  it("while the agent cannot say who it is; and a probe that was not sent for that closes nothing", async () => {
    let token = (): string => "a-token";
    const { rig } = await start(down, { token: () => token() });
    await rig.grant();
    await openCircuit(rig);
    token = () => {
      throw new Error("no token");
    };
    rig.breaker.reset();
    expect(await rig.ask()).toMatchObject({ reason: "REQUEST_REFUSED" });
    expect(rig.breaker.snapshot).toMatchObject({ state: "open", openedLocally: true });
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN" });
    token = () => "a-token";
    rig.breaker.reset();
    expect(await rig.ask()).toMatchObject({ reason: "SERVICE_UNAVAILABLE" });
    expect(await rig.ask()).toMatchObject({ reason: "CIRCUIT_BYPASS" });
  });

  it("but there is one again once the service has allowed it", async () => {
    const { rig, now } = await start(no);
    await rig.grant();
    await rig.ask();
    now(({ stream, request }) => reply(stream, allowing(request, later)));
    await rig.ask({ idempotencyKey: "later" });
    now(down);
    await openCircuit(rig);
    expect(await rig.ask()).toMatchObject({ reason: "CIRCUIT_BYPASS" });
  });

  it("for a request that the service has denied since it allowed it, though the allow is replayed", async () => {
    const { rig, now } = await start(yes);
    await rig.grant();
    await rig.ask({ idempotencyKey: "before" });
    now(({ stream, request }) => reply(stream, allowing(request, { ...denied, ...later })));
    await rig.ask({ idempotencyKey: "after" });
    now(({ stream, request }) => reply(stream, allowing(request, { replayed: true })));
    expect(await rig.ask({ idempotencyKey: "before" })).toMatchObject({ decision: "allow", replayed: true });
    now(down);
    await openCircuit(rig);
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN" });
  });

  it.each([
    ["frozen", (asked: Asked) => reply(asked.stream, allowing(asked.request, frozen))],
    ["not accepted", (asked: Asked) => fail(asked.stream, 16)],
  ])("for any request of an agent that the service has said is %s, until it decides again", async (_, refuse) => {
    const { rig, now } = await start(refuse);
    await rig.grant({ tools: "*" });
    await rig.ask({ tool: "another" });
    now(down);
    await openCircuit(rig);
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN" });
    now(({ stream, request }) => reply(stream, allowing(request, { ...denied, ...later })));
    rig.breaker.reset();
    expect(await rig.ask({ tool: "a third" })).toMatchObject({ reason: "RULE_DENIED" });
    now(down);
    await rig.ask({ tool: "other" });
    expect(rig.breaker.snapshot).toMatchObject({ state: "open", openedLocally: true });
    expect(await rig.ask()).toMatchObject({ reason: "CIRCUIT_BYPASS" });
    expect(await rig.ask({ tool: "another" })).toMatchObject({ reason: "CIRCUIT_OPEN" });
  });

  it("without a directory", async () => {
    const { rig } = await start(down, { disk: false });
    await rig.grant();
    await openCircuit(rig);
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN" });
  });

  it("once the journal is closed", async () => {
    const { rig } = await start(down);
    await rig.grant();
    await openCircuit(rig);
    await rig.journal.close();
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN" });
  });

  it("for a payload that the service would not have looked at", async () => {
    const { rig } = await start(down);
    await rig.grant();
    await openCircuit(rig);
    expect(await rig.ask({ payload: { text: "x".repeat(300_000) } })).toMatchObject({ reason: "REQUEST_REFUSED" });
    expect(await rig.ask({ idempotencyKey: "k".repeat(300) })).toMatchObject({ reason: "REQUEST_REFUSED" });
  });

  it("when the journal is slower than the deadline; and the record that then lands allows nothing", async () => {
    const writable = Promise.withResolvers<void>();
    const { rig } = await start(down, { wrapJournal: (journal) => delayed(journal, () => writable.promise) });
    await rig.grant();
    await openCircuit(rig);
    expect(await rig.ask({}, { timeoutMs: 100 })).toMatchObject({ decision: "deny", reason: "DEADLINE_EXCEEDED" });
    expect(await kinds(rig.journal)).not.toContain("bypass_allow");
    writable.resolve();
    await expect.poll(() => kinds(rig.journal)).toContain("bypass_allow");
  });

  it("when the grant was revoked, or the service has said no, while the record was written", async () => {
    let meanwhile = nothing;
    const clock = new MovableClock();
    const { rig, now } = await start(down, {
      clock,
      wrapJournal: (journal) => delayed(journal, () => meanwhile()),
    });
    await rig.grant();
    await openCircuit(rig);
    meanwhile = () => rig.revoke(2);
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN" });
    await rig.grant({ epoch: 3 });
    meanwhile = async () => {
      now(no);
      clock.ahead(40_000);
      await rig.ask({ idempotencyKey: "probe" });
    };
    expect(await rig.ask({}, { timeoutMs: 100_000 })).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN" });
    // Both were recorded as bypassed before they were denied: the trail never lacks an allow, and may hold one too many.
    expect((await kinds(rig.journal)).filter((kind) => kind === "bypass_allow")).toHaveLength(2);
  });
});

async function nothing(): Promise<void> {}

/** The real journal, on a disk that something happens before. */
function delayed(journal: Journal, before: () => Promise<void>): Journal {
  return new Proxy(journal, {
    get(target, name) {
      if (name === "recordBypass") return (record: never) => before().then(() => target.recordBypass(record));
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
