import { afterEach, describe, expect, it } from "vitest";
import { MovableClock, openRig, type Rig, type RigOptions } from "../support/guard.ts";
import {
  allowing,
  type Asked,
  denied,
  fail,
  inReview,
  reply,
  serveConnect,
  serveGrpc,
  type TestService,
} from "../support/service.ts";

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one.close();
});

async function grpc(respond: (asked: Asked) => void, port?: number): Promise<TestService> {
  const service = await serveGrpc(respond, { port });
  opened.push({ close: () => service.stop() });
  return service;
}

async function rigFor({ url }: { url: URL }, options: Omit<RigOptions, "url"> = {}): Promise<Rig> {
  const rig = await openRig({ url, ...options });
  opened.push(rig);
  return rig;
}

const yes = ({ stream, request }: Asked): void => reply(stream, allowing(request));

describe("a healthy service", () => {
  it("decides, over gRPC", async () => {
    const service = await grpc(yes);
    const rig = await rigFor(service);
    const verdict = await rig.ask({ idempotencyKey: "k-1" });
    expect(verdict).toMatchObject({
      decision: "allow",
      reason: "RULE_ALLOWED",
      source: "service",
      replayed: false,
      idempotencyKey: "k-1",
    });
    expect(Object.isFrozen(verdict)).toBe(true);
    expect(service.requests).toMatchObject([
      { tool: "mail.send", payload: { to: "a@example.com" }, idempotencyKey: "k-1", agentId: "agent-1" },
    ]);
    expect(service.requests[0]?.nonce).toHaveLength(16);
  });

  it("decides, over Connect", async () => {
    const service = await serveConnect((request, response) => {
      response
        .setHeader("content-type", "application/proto")
        .end(allowing(request, request.tool === "mail.send" ? {} : denied));
    });
    opened.push({ close: () => service.stop() });
    const rig = await rigFor(service, { transport: "connect" });
    expect(await rig.ask()).toMatchObject({ decision: "allow", source: "service" });
    expect(await rig.ask({ tool: "mail.delete" })).toMatchObject({ decision: "deny", reason: "RULE_DENIED" });
    expect(service.connections()).toBe(1);
  });

  it("is told the credential, the deadline and the protocol", async () => {
    const headers: unknown[] = [];
    const rig = await rigFor(
      await grpc((asked) => {
        headers.push(asked.headers);
        yes(asked);
      }),
    );
    await rig.ask();
    expect(headers).toMatchObject([
      {
        ":path": "/datacrawl.authz.v1.AuthorizeService/Authorize",
        "content-type": "application/grpc",
        te: "trailers",
        authorization: expect.stringMatching(/^Bearer dc_agent_agent-1_/),
        "grpc-timeout": expect.stringMatching(/^(3\d\d\d|4000)m$/),
      },
    ]);
    expect(headers[0]).not.toHaveProperty("grpc-accept-encoding");
  });

  it("is asked on one connection, many times at once", async () => {
    const service = await grpc(yes);
    const rig = await rigFor(service);
    const verdicts = await Promise.all(
      Array.from({ length: 300 }, (_, n) => rig.ask({ payload: { n } }, { timeoutMs: 20_000 })),
    );
    expect(verdicts.filter(({ decision }) => decision !== "allow")).toEqual([]);
    expect(service.connections()).toBe(1);
    expect(new Set(service.requests.map(({ nonce }) => Buffer.from(nonce).toString("hex"))).size).toBe(300);
  });

  it("takes large payloads, many at once", async () => {
    const rig = await rigFor(await grpc(yes));
    const text = "x".repeat(250_000);
    const verdicts = await Promise.all(
      Array.from({ length: 60 }, (_, n) => rig.ask({ payload: { n, text } }, { timeoutMs: 20_000 })),
    );
    expect(verdicts.map(({ reason }) => reason)).toEqual(Array.from({ length: 60 }, () => "RULE_ALLOWED"));
  });

  it("gets the copy of a payload that changes while it is asked", async () => {
    const service = await grpc(yes);
    const rig = await rigFor(service);
    const payload = { to: "friend@example.com" };
    const asking = rig.ask({ payload });
    payload.to = "foe@example.com";
    await asking;
    expect(service.requests[0]?.payload).toEqual({ to: "friend@example.com" });
  });
});

describe("each status is a deny, and counts or does not", () => {
  it.each([
    [1, "SERVICE_UNAVAILABLE", 1],
    [2, "SERVICE_UNAVAILABLE", 1],
    [3, "REQUEST_REFUSED", 0],
    [4, "DEADLINE_EXCEEDED", 0],
    [5, "REQUEST_REFUSED", 0],
    [6, "REQUEST_REFUSED", 0],
    [7, "REQUEST_REFUSED", 0],
    [8, "REQUEST_REFUSED", 0],
    [9, "REQUEST_REFUSED", 0],
    [10, "SERVICE_UNAVAILABLE", 1],
    [11, "REQUEST_REFUSED", 0],
    [12, "SERVICE_UNAVAILABLE", 1],
    [13, "SERVICE_UNAVAILABLE", 1],
    [14, "SERVICE_UNAVAILABLE", 1],
    [15, "SERVICE_UNAVAILABLE", 1],
    [16, "REQUEST_REFUSED", 0],
  ])("%i", async (status, reason, counted) => {
    const service = await grpc(({ stream }) => fail(stream, status, "because"));
    const rig = await rigFor(service);
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason, source: "guard", policyVersion: "" });
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(counted);
    // Only UNAVAILABLE is asked again: with the same key, and a new nonce.
    expect(service.requests).toHaveLength(status === 14 ? 3 : 1);
    expect(new Set(service.requests.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
    expect(new Set(service.requests.map(({ nonce }) => Buffer.from(nonce).toString("hex"))).size).toBe(
      service.requests.length,
    );
    expect(await rig.journal.pending(100)).toHaveLength(1);
  });

  it("but not when a retry succeeds", async () => {
    const service = await grpc((asked) => (asked.number < 3 ? fail(asked.stream, 14) : yes(asked)));
    const rig = await rigFor(service);
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(0);
    expect(await rig.journal.pending(100)).toHaveLength(0);
  });

  it("and a policy's no does not count, nor is it the guard's", async () => {
    const service = await grpc(({ stream, request }) =>
      reply(stream, allowing(request, request.tool === "a" ? denied : inReview)),
    );
    const rig = await rigFor(service, { failures: 1 });
    expect(await rig.ask({ tool: "a" })).toMatchObject({ decision: "deny", reason: "RULE_DENIED", source: "service" });
    expect(await rig.ask({ tool: "b" })).toMatchObject({
      decision: "needs_review",
      reason: "REVIEW_PENDING",
      source: "service",
    });
    expect(rig.breaker.snapshot.state).toBe("closed");
    expect(await rig.journal.pending(100)).toHaveLength(0);
  });
});

describe("an answer that is none", () => {
  it("is malformed, is not asked for again, and counts", async () => {
    const service = await grpc(({ stream, request }) => reply(stream, allowing(request, { tool: "mail.delete" })));
    const rig = await rigFor(service);
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "MALFORMED_RESPONSE", source: "guard" });
    expect(service.requests).toHaveLength(1);
    expect(rig.breaker.snapshot).toMatchObject({
      consecutiveFailures: 1,
      lastErrors: ["the answer is for another tool"],
    });
  });

  it("is a replayed one", async () => {
    let first: Uint8Array | undefined;
    const service = await grpc(({ stream, request }) => reply(stream, (first ??= allowing(request))));
    const rig = await rigFor(service);
    const same = { idempotencyKey: "k" };
    expect(await rig.ask(same)).toMatchObject({ decision: "allow" });
    expect(await rig.ask(same)).toMatchObject({ decision: "deny", reason: "MALFORMED_RESPONSE" });
  });

  it("is one over 64 KiB, or without end", async () => {
    const rig = await rigFor(
      await grpc(({ stream, request }) => {
        if (request.tool === "long") reply(stream, allowing(request, { message: "x".repeat(70_000) }));
        else {
          stream.respond({ ":status": 200, "content-type": "application/grpc" });
          const pour = (): void => {
            while (!stream.destroyed && stream.write(Buffer.alloc(16_384)));
          };
          stream.on("drain", pour);
          pour();
        }
      }),
    );
    expect(await rig.ask({ tool: "long" })).toMatchObject({ reason: "MALFORMED_RESPONSE" });
    expect(await rig.ask({ tool: "endless" })).toMatchObject({ reason: "MALFORMED_RESPONSE" });
  });
});

describe("the deadline", () => {
  it.each(["grpc", "connect"] as const)("ends a call that nobody answers, over %s", async (transport) => {
    const silent = transport === "grpc" ? await grpc(() => {}) : await serveConnect(() => {});
    if (transport === "connect") opened.push({ close: () => silent.stop() });
    const rig = await rigFor(silent, { transport });
    const ended: number[] = [];
    const ask = (timeoutMs: number): Promise<unknown> =>
      rig.ask({}, { timeoutMs }).finally(() => ended.push(timeoutMs));
    const [patient, verdict] = [ask(2200), await ask(1100)];
    expect(verdict).toMatchObject({ decision: "deny", reason: "DEADLINE_EXCEEDED" });
    expect(ended).toEqual([1100]);
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(1);
    expect(await patient).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
  });

  it("says nothing of a service that had less than a second", async () => {
    const rig = await rigFor(await grpc(() => {}));
    expect(await rig.ask({}, { timeoutMs: 200 })).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(0);
  });

  it("speaks against a service that says UNAVAILABLE until then", async () => {
    const service = await grpc((asked) => {
      if (asked.number === 1) yes(asked);
      if (asked.number === 2) fail(asked.stream, 14);
    });
    const rig = await rigFor(service);
    await rig.ask({ tool: "connects" });
    expect(await rig.ask({}, { timeoutMs: 900 })).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(1);
  });

  it("holds for the retries too", async () => {
    let ahead = 0;
    const clock = { now: () => Date.now() * 1000, monotonic: () => performance.now() + ahead };
    const service = await grpc((asked) => {
      ahead += 2500;
      if (asked.number === 1) fail(asked.stream, 14);
      else yes(asked);
    });
    const rig = await rigFor(service, { clock });
    expect(await rig.ask({}, { timeoutMs: 4000 })).toMatchObject({ decision: "deny", reason: "DEADLINE_EXCEEDED" });
    expect(service.requests).toHaveLength(2);
  });

  it("that has passed already is a deny at once", async () => {
    const rig = await rigFor(await grpc(yes));
    expect(await rig.ask({}, { timeoutMs: -5 })).toMatchObject({ decision: "deny", reason: "DEADLINE_EXCEEDED" });
  });

  it("makes an answer that a blocked process reads too late a deny, and speaks not against the service", async () => {
    const rig = await rigFor(await grpc(yes));
    await rig.ask({ tool: "connects" });
    const asking = rig.ask({ tool: "late" }, { timeoutMs: 1000 });
    // The request leaves; then this process, in which the service answers too, does nothing else for a while.
    await new Promise((resolve) => setImmediate(resolve));
    block(1300);
    expect(await asking).toMatchObject({ decision: "deny", reason: "DEADLINE_EXCEEDED" });
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(0);
  });

  it("is the clock's, also if the timer has not fired", async () => {
    // The timer is far away, but the clock says that time has passed while the answer was under way.
    let ahead = 0;
    const now = (): number => performance.now() + ahead;
    const clock = { now: () => Date.now() * 1000, monotonic: now };
    const service = await grpc((asked) => {
      ahead = 5000;
      yes(asked);
    });
    const rig = await rigFor(service, { clock });
    expect(await rig.ask({}, { timeoutMs: 4000 })).toMatchObject({ decision: "deny", reason: "DEADLINE_EXCEEDED" });
  });
});

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe("the caller's cancel", () => {
  it("is a deny at once, and counts for nothing", async () => {
    const service = await grpc(() => {});
    const rig = await rigFor(service);
    const controller = new AbortController();
    const asking = rig.ask({}, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    expect(await asking).toMatchObject({
      decision: "deny",
      reason: "DEADLINE_EXCEEDED",
      message: expect.stringContaining("cancelled"),
    });
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(0);
  });

  it("stops retries, and what was cancelled before is not asked", async () => {
    const service = await grpc(({ stream }) => fail(stream, 14));
    const rig = await rigFor(service);
    const controller = new AbortController();
    const asking = rig.ask({}, { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    expect(await asking).toMatchObject({ decision: "deny" });
    expect(await rig.ask({}, { signal: AbortSignal.abort() })).toMatchObject({ decision: "deny" });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(service.requests.length).toBeLessThan(3);
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(0);
  });

  it("tells the service", async () => {
    const reset = Promise.withResolvers<number | undefined>();
    const rig = await rigFor(await grpc(({ stream }) => stream.on("close", () => reset.resolve(stream.rstCode))));
    const controller = new AbortController();
    const asking = rig.ask({}, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await asking;
    expect(await reset.promise).toBe(8);
  });
});

describe("the circuit", () => {
  it("opens after five calls that failed, however often each was tried; then denies at once", async () => {
    const service = await grpc(({ stream }) => fail(stream, 14));
    const rig = await rigFor(service);
    for (let n = 0; n < 5; n++) expect(await rig.ask()).toMatchObject({ reason: "SERVICE_UNAVAILABLE" });
    expect(service.requests).toHaveLength(15);
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "CIRCUIT_OPEN", source: "guard" });
    expect(service.requests).toHaveLength(15);
    expect(rig.breaker.snapshot).toMatchObject({ state: "open", cause: "local", openedLocally: true });
    expect(await rig.journal.pending(100)).toHaveLength(6);
  });

  it("is closed by a probe, one, while the others are denied", async () => {
    let well = false;
    const service = await grpc((asked) => (well ? setTimeout(() => yes(asked), 50) : fail(asked.stream, 13)));
    const clock = new MovableClock();
    const rig = await rigFor(service, { failures: 1, clock });
    await rig.ask();
    well = true;
    clock.ahead(40_000);
    const verdicts = await Promise.all(Array.from({ length: 10 }, () => rig.ask()));
    expect(verdicts.filter(({ decision }) => decision === "allow")).toHaveLength(1);
    expect(verdicts.filter(({ reason }) => reason === "CIRCUIT_OPEN")).toHaveLength(9);
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
  });

  it("is closed also by a service that refuses its probe", async () => {
    const service = await grpc(({ stream, number }) => fail(stream, number === 1 ? 13 : 16));
    const clock = new MovableClock();
    const rig = await rigFor(service, { failures: 1, clock });
    await rig.ask();
    clock.ahead(40_000);
    expect(await rig.ask()).toMatchObject({ reason: "REQUEST_REFUSED" });
    expect(rig.breaker.snapshot.state).toBe("recovering");
    expect(rig.breaker.snapshot.openedLocally).toBe(false);
  });

  it("does not wait for a probe that hangs longer than its lease", async () => {
    const service = await grpc(({ stream, number }) => (number === 1 ? fail(stream, 13) : undefined));
    const rig = await rigFor(service, { failures: 1, probeAfterMs: 100 });
    await rig.ask();
    await new Promise((resolve) => setTimeout(resolve, 150));
    // Longer than a test may take.
    expect(await rig.ask({}, { timeoutMs: 100_000 })).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
  });
});

describe("a request that is none", () => {
  const thrower = {
    get amount(): number {
      throw new Proxy(new Error("no"), {
        getPrototypeOf() {
          throw new Error("not even looking");
        },
      });
    },
  };
  it.each([
    ["null", null],
    ["a payload that throws what throws", { tool: "t", payload: thrower }],
    [
      "a tool that throws",
      {
        get tool(): string {
          throw new Error("no");
        },
      },
    ],
    ["a bigint", { tool: "t", payload: { n: 1n } }],
    [
      "a revoked proxy",
      (() => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return proxy;
      })(),
    ],
  ])("is a deny, without a throw and without a call: %s", async (_, request) => {
    const service = await grpc(yes);
    const rig = await rigFor(service);
    const verdict = await rig.askAnything(request);
    expect(verdict).toMatchObject({ decision: "deny", reason: "REQUEST_REFUSED", source: "guard", idempotencyKey: "" });
    expect(service.requests).toHaveLength(0);
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(0);
  });
});
