import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { type Asked, type Outcome, type Refusal, type TestClient, clientsTo, VALID } from "./ask.ts";
import { type Open, openListeners } from "./open.ts";

let open: Open;
let clients: TestClient[];
beforeAll(async () => {
  open = await openListeners();
  clients = clientsTo(open);
});
afterAll(async () => open.close());

/** Asks with every client, and expects the same of each. */
async function onEveryTransport(
  request: Asked,
  expected: Partial<Refusal>,
  headers: Record<string, string> = {},
): Promise<void> {
  const outcomes = await Promise.all(
    clients.map(async ({ name, ask }) => ({ name, ...(await ask(request, { headers })) })),
  );
  expect(outcomes).toEqual(
    clients.map(({ name }) => expect.objectContaining({ name, domain: "datacrawl", ...expected })),
  );
}

describe("every transport", () => {
  test("carries the question there and the answer back", async () => {
    const request = {
      tool: "gmail.send",
      payload: {
        to: ["ann@example.com", "‮evil", "𝒳"],
        n: [0, -1.5, 1e-308, 5e-324],
        deep: { a: { b: null } },
        ok: true,
      },
      idempotencyKey: "ключ-1",
      nonce: new Uint8Array(16).fill(7),
      principal: "ann@example.com",
      sessionId: "‮run-1",
    };
    for (const { name, ask } of clients) {
      open.handler.calls.length = 0;
      const outcome = await ask(request, {
        headers: { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
      });
      const [call] = open.handler.calls;
      expect(call?.traceparent, name).toBe("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
      expect(open.handler.requests.at(-1), name).toEqual({ ...request, agentId: "" });
      expect(answered(outcome), name).toMatchObject({
        decision: Decision.ALLOW,
        reason: Reason.RULE_ALLOWED,
        decisionId: "0195e0b2-7a3b-7c1d-8a2b-1234567890ab",
        decidedAt: { seconds: 1_700_000_000n, nanos: 123_456_000 },
        ruleId: "r",
        agentId: "agent-a",
        tool: "gmail.send",
        idempotencyKey: "ключ-1",
        nonce: request.nonce,
        source: Source.SERVICE,
      });
    }
  });

  test("refuses a caller without a credential, or with an unknown one", async () => {
    await onEveryTransport(
      VALID,
      { code: "Unauthenticated", reason: "CREDENTIAL_UNKNOWN" },
      { authorization: "Bearer other" },
    );
    await onEveryTransport(VALID, { code: "Unauthenticated", reason: "CREDENTIAL_UNKNOWN" }, { authorization: "" });
  });

  test("refuses to speak for another agent", async () => {
    await onEveryTransport(
      { ...VALID, agentId: "other" },
      { code: "PermissionDenied", reason: "AGENT_MISMATCH", field: "agent_id" },
    );
  });

  const nested = (depth: number): Asked => ({
    ...VALID,
    payload: Array.from({ length: depth }).reduce<object>((inner) => ({ a: inner }), {}) as never,
  });
  const invalid: [title: string, request: Asked, field: string][] = [
    ["no tool", { ...VALID, tool: "" }, "tool"],
    ["a tool of 257 bytes", { ...VALID, tool: "é".repeat(128) + "x" }, "tool"],
    ["NUL in the tool", { ...VALID, tool: "a\0b" }, "tool"],
    ["no key", { ...VALID, idempotencyKey: "" }, "idempotency_key"],
    ["a key of 257 bytes", { ...VALID, idempotencyKey: "x".repeat(257) }, "idempotency_key"],
    ["NUL in the payload", { ...VALID, payload: { to: ["\0"] } }, "payload.to[0]"],
    ["NUL in a name", { ...VALID, payload: { "a\0": 1 } }, "payload"],
    ["an integer that a double rounds", { ...VALID, payload: { ids: [1, 2 ** 53] } }, "payload.ids[1]"],
    ["a payload of more than 256 KiB", { ...VALID, payload: { text: "x".repeat(256 * 1024) } }, "payload"],
    ["a payload nested 33 deep", nested(32), `payload${".a".repeat(32)}`],
    ["a payload nested 65 deep", nested(64), `payload${".a".repeat(64)}`],
    ["a nonce of 15 bytes", { ...VALID, nonce: new Uint8Array(15) }, "nonce"],
  ];
  test.each(invalid)("refuses %s", async (_title, request, field) => {
    await onEveryTransport(request, { code: "InvalidArgument", reason: "FIELD_INVALID", field });
  });

  test("takes what is as large as the contract allows", async () => {
    const largest = {
      tool: "x".repeat(256),
      payload: { text: "x".repeat(256 * 1024 - 11) },
      idempotencyKey: "é".repeat(128),
    };
    for (const { name, ask } of clients) {
      expect(answered(await ask(largest)).tool, name).toBe(largest.tool);
      expect(answered(await ask({ ...VALID, payload: nested(31).payload as never })).decision, name).toBe(
        Decision.ALLOW,
      );
    }
  });

  test.each([
    ["QUEUE_FULL", "ResourceExhausted"],
    ["STORE_UNAVAILABLE", "Unavailable"],
    ["DEADLINE_EXCEEDED", "DeadlineExceeded"],
    ["AGENT_EXISTS", "AlreadyExists"],
    ["AGENT_UNKNOWN", "NotFound"],
    ["AGENT_REVOKED", "FailedPrecondition"],
  ])("says %s as %s, and when to come again", async (fault, code) => {
    await onEveryTransport(
      { ...VALID, tool: `fault:${fault}` },
      { code, reason: fault, message: "As you wish.", retryMs: 1500 },
    );
  });

  test("says nothing of what failed inside, and hands its cause to the log", async () => {
    open.faults.length = 0;
    await onEveryTransport({ ...VALID, tool: "throw" }, { code: "Internal", reason: "INTERNAL" });
    expect(open.faults.map(({ cause }) => cause)).toEqual(
      clients.map(() => expect.objectContaining({ message: "secret" })),
    );
    for (const { ask } of clients)
      expect(JSON.stringify(await ask({ ...VALID, tool: "throw" }))).not.toContain("secret");
  });

  test.each(["é", "😀"])("sends long field names of %s as far as headers can carry them", async (character) => {
    // Cut between the halves of a surrogate pair, a text could not be sent.
    const name = `x${character.repeat(5000)}`;
    const field = `${`payload.${name}`.slice(0, 200)}…`.toWellFormed();
    await onEveryTransport({ ...VALID, payload: { [name]: { a: "\0" } } }, { code: "InvalidArgument", field });
  });

  test("answers by the caller's deadline, and tells the handler", async () => {
    open.handler.aborted = 0;
    const outcomes = await Promise.all(clients.map(({ ask }) => ask({ ...VALID, tool: "wait" }, { timeoutMs: 300 })));
    expect(outcomes).toEqual(clients.map(() => expect.objectContaining({ code: "DeadlineExceeded" })));
    await expect.poll(() => open.handler.aborted).toBe(clients.length);
  });

  test("gives the handler the caller's deadline", async () => {
    for (const { name, ask } of clients) {
      open.handler.calls.length = 0;
      const asked = performance.now();
      await ask(VALID, { timeoutMs: 20_000 });
      const deadlineAt = open.handler.calls[0]?.deadlineAt;
      // Less what its rounding on the wire takes away.
      expect(deadlineAt, name).toBeGreaterThan(asked + 19_000);
      expect(deadlineAt, name).toBeLessThanOrEqual(performance.now() + 20_000);
    }
  });

  test.each([
    ["none", undefined, 5_000],
    ["one far off", 3_600_000, 30_000],
  ])("sets the service's own deadline where the caller has %s", async (_title, timeoutMs, ownMs) => {
    for (const { name, ask } of clients) {
      open.handler.calls.length = 0;
      const asked = performance.now();
      await ask(VALID, timeoutMs === undefined ? {} : { timeoutMs });
      const deadlineAt = open.handler.calls[0]?.deadlineAt;
      expect(deadlineAt, name).toBeGreaterThanOrEqual(asked + ownMs);
      expect(deadlineAt, name).toBeLessThanOrEqual(performance.now() + ownMs);
    }
  });

  test("answers by its own deadline where the caller has none", { tags: ["full"] }, async () => {
    const outcomes = await Promise.all(clients.map(({ ask }) => ask({ ...VALID, tool: "wait" })));
    expect(outcomes).toEqual(
      clients.map(() => expect.objectContaining({ code: "DeadlineExceeded", reason: "DEADLINE_EXCEEDED" })),
    );
  });

  test("reports what a handler fails with after its caller was answered", { tags: ["full"] }, async () => {
    for (const { name, ask } of clients) {
      open.lateFaults.length = 0;
      open.faults.length = 0;
      const outcome = await ask({ ...VALID, tool: "late" }, { timeoutMs: 300 });
      expect(outcome, name).toMatchObject({ code: "DeadlineExceeded" });
      open.handler.release();
      const bugs = (): string[] => [...open.faults, ...open.lateFaults].map(({ code }) => code);
      await expect.poll(bugs, { message: name }).toContain("INTERNAL");
    }
  });

  test("tells the handler when its caller goes away", async () => {
    open.handler.aborted = 0;
    for (const { ask } of clients) {
      const gone = new AbortController();
      open.handler.calls.length = 0;
      const asking = ask({ ...VALID, tool: "wait" }, { signal: gone.signal });
      await expect.poll(() => open.handler.calls.length).toBe(1);
      gone.abort();
      expect(await asking).toMatchObject({ code: "Canceled" });
    }
    await expect.poll(() => open.handler.aborted).toBe(clients.length);
  });
});

function answered(outcome: Outcome) {
  if ("answer" in outcome) return outcome.answer;
  throw new Error(`refused: ${JSON.stringify(outcome)}`);
}
