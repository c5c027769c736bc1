import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { AlreadyStartedError, DataCrawl, type DataCrawlOptions, DeniedError, NotStartedError } from "../src/index.ts";
import { FakeDataCrawl } from "../src/testing.ts";
import {
  allowing,
  API_KEY,
  type AskedReport,
  type AskedStart,
  fail,
  recording,
  reply,
  serveGrpc,
  startedBefore,
  starting,
} from "./support/service.ts";

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

interface Served {
  readonly dc: DataCrawl;
  /** Method names and what was reported, in the order of the calls. */
  readonly calls: unknown[];
  readonly warnings: string[];
}

async function serve(
  { begin, report }: { begin?: (asked: AskedStart) => void; report?: (asked: AskedReport) => void } = {},
  options: DataCrawlOptions = {},
): Promise<Served> {
  const [calls, warnings]: [unknown[], string[]] = [[], []];
  const service = await serveGrpc(
    ({ stream, request }) => {
      calls.push("authorize");
      reply(stream, allowing(request));
    },
    {
      begin: (asked) => {
        calls.push("begin");
        (begin ?? (({ stream, request }) => reply(stream, starting(request))))(asked);
      },
      report: (asked) => {
        calls.push([asked.request.outcome, asked.request.errorCode]);
        (report ?? (({ stream, request }) => reply(stream, recording(request))))(asked);
      },
    },
  );
  opened.push(() => service.stop());
  const logger = { warn: (message: string) => void warnings.push(message) };
  const dc = new DataCrawl({ url: service.url.origin, apiKey: API_KEY, timeoutMs: 2000, logger, ...options });
  opened.push(() => dc.close());
  return { dc, calls, warnings };
}

const [SUCCEEDED, FAILED, UNKNOWN] = [1, 2, 4];

test("a report that the service did not take is sent by the next process of the directory, as it closes at the latest", async () => {
  const journalDir = await mkdtemp(join(tmpdir(), "datacrawl-protect-"));
  opened.push(() => rm(journalDir, { recursive: true }));
  const dead = await serve({ report: ({ stream }) => fail(stream, 14) }, { journalDir, timeoutMs: 600 });
  await dead.dc.protect("mail.send", () => "sent", { idempotencyKey: () => "k" })({});
  expect(dead.warnings).toEqual([expect.stringMatching(/was not recorded \(SERVICE_UNAVAILABLE\).* sent later/)]);
  await dead.dc.close();
  const next = await serve({}, { journalDir });
  await next.dc.ready();
  await next.dc.close();
  expect(next.calls).toEqual([[SUCCEEDED, ""]]);
});

describe("a protected action", () => {
  test("runs between its start and its report, and comes to what it comes to", async () => {
    const { dc, calls } = await serve();
    const send = dc.protect("mail.send", () => {
      calls.push("run");
      return "sent";
    });
    expect(await send({})).toBe("sent");
    expect(calls).toEqual(["authorize", "begin", "run", [SUCCEEDED, ""]]);
  });

  test("is not run a second time, and its caller learns what is known of the first", async () => {
    const { dc, calls } = await serve({
      begin: ({ stream, request }) => reply(stream, starting(request, startedBefore)),
    });
    const send = dc.protect("mail.send", () => calls.push("run"), { idempotencyKey: () => "send-1" });
    const error: unknown = await send({}).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AlreadyStartedError);
    expect(error).toMatchObject({
      tool: "mail.send",
      message: expect.stringMatching(
        /^mail\.send was started at 2026-\S+ under the key send-1, and its outcome is not known$/,
      ),
      execution: { state: "already_started", startedBy: "0123456789ab", outcome: null },
    });
    expect(calls).toEqual(["authorize", "begin"]);
  });

  test("that is idempotent by itself is run again, and not reported", async () => {
    const { dc, calls } = await serve({
      begin: ({ stream, request }) => reply(stream, starting(request, startedBefore)),
    });
    const put = dc.protect("kv.put", () => calls.push("run"), { onAlreadyStarted: "run" });
    await put({});
    expect(calls).toEqual(["authorize", "begin", "run"]);
  });

  test("is not run if its start fails", async () => {
    const { dc, calls } = await serve({ begin: ({ stream }) => fail(stream, 13) });
    const send = dc.protect("mail.send", () => calls.push("run"), { onAlreadyStarted: "run" });
    const error: unknown = await send({}).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NotStartedError);
    expect(error).toMatchObject({ tool: "mail.send", start: { state: "refused", reason: "SERVICE_UNAVAILABLE" } });
    expect(calls).toEqual(["authorize", "begin"]);
  });

  test("without once runs as often as it is allowed, and is neither started nor reported", async () => {
    const { dc, calls } = await serve();
    const read = dc.protect("mail.read", () => calls.push("run"), { once: false });
    await read({});
    await read({});
    expect(calls).toEqual(["authorize", "run", "authorize", "run"]);
  });

  test.each<[string, unknown, number, string]>([
    ["an error", new TypeError("secret"), FAILED, "TypeError"],
    ["an error with a code", Object.assign(new Error("secret"), { code: "ECONNREFUSED" }), FAILED, "ECONNREFUSED"],
    ["an error with a code that is not text", Object.assign(new Error("secret"), { code: 7, name: "a b" }), FAILED, ""],
    ["a string", "secret", FAILED, ""],
    ["undefined", undefined, FAILED, ""],
    ["an abort", new DOMException("secret", "AbortError"), UNKNOWN, ""],
  ])("that throws %s is reported, and thrown on", async (_, thrown, outcome, code) => {
    const { dc, calls } = await serve();
    const send = dc.protect("mail.send", () => Promise.reject(thrown));
    await expect(send({})).rejects.toBe(thrown);
    const [reported, errorCode] = calls[2] as [number, string];
    expect(reported).toBe(outcome);
    // An abort's code is a number, and its name a word: the name is what is left.
    expect(errorCode).toBe(outcome === UNKNOWN ? "AbortError" : code);
  });

  test("that was cancelled has an unknown outcome, and is reported although its caller has gone", async () => {
    const { dc, calls } = await serve();
    const caller = new AbortController();
    const send = dc.protect("mail.send", () => {
      caller.abort();
      throw new Error("broken off");
    });
    await expect(send({}, { signal: caller.signal })).rejects.toThrow("broken off");
    expect(calls.at(-1)).toEqual([UNKNOWN, "Error"]);
  });

  test.each<[string, (asked: AskedReport) => void]>([
    ["fails", ({ stream }) => fail(stream, 13)],
    ["is refused", ({ stream }) => fail(stream, 9)],
    ["is not answered", () => {}],
  ])("whose report %s comes to the same, and the log tells of it", async (_, report) => {
    const { dc, warnings } = await serve({ report }, { timeoutMs: 300 });
    expect(await dc.protect("mail.send", () => "sent")({})).toBe("sent");
    await expect(dc.protect("mail.send", () => Promise.reject(new Error("smtp")))({})).rejects.toThrow("smtp");
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(/^the outcome "succeeded" of the execution of decision \S+ was not recorded/);
  });

  test("comes to the same if its report fails and so does the logger", async () => {
    const throwing = {
      warn: () => {
        throw new Error("log");
      },
    };
    const { dc } = await serve({ report: ({ stream }) => fail(stream, 13) }, { logger: throwing });
    expect(await dc.protect("mail.send", () => "sent")({})).toBe("sent");
  });

  test("refuses options that it does not know, when it is made", async () => {
    const { dc } = await serve();
    expect(() => dc.protect("t", () => 1, { once: 0 as never })).toThrow("once must be true or false, is 0");
    expect(() => dc.protect("t", () => 1, { onAlreadyStarted: "ignore" as never })).toThrow(
      'onAlreadyStarted must be "throw" or "run", is "ignore"',
    );
  });

  test("says on whose behalf it acts, and in which session", async () => {
    const asked: unknown[] = [];
    const service = await serveGrpc(({ stream, request }) => {
      asked.push([request.principal, request.sessionId]);
      reply(stream, allowing(request));
    });
    opened.push(() => service.stop());
    const dc = new DataCrawl({ url: service.url.origin, apiKey: API_KEY });
    opened.push(() => dc.close());
    const send = dc.protect("mail.send", () => 1, { principal: "ann@example.com" });
    await send({});
    await send({}, { principal: "bob@example.com", sessionId: "run-7" });
    expect(asked).toEqual([
      ["ann@example.com", undefined],
      ["bob@example.com", "run-7"],
    ]);
  });
});

describe("begin and report by hand", () => {
  test("start only a verdict that is an allow", async () => {
    const { dc, calls } = await serve();
    const verdict = await dc.authorize({ tool: "mail.send" });
    const start = await dc.begin(verdict);
    if (start.state !== "started") throw new Error(start.message);
    expect(start.startedAt).toBeInstanceOf(Date);
    expect(await dc.report(start, "succeeded")).toMatchObject({ state: "recorded" });
    for (const wrong of [{ ...verdict, decision: "deny" }, null, undefined, {}])
      expect(await dc.begin(wrong as never)).toMatchObject({ state: "refused", reason: "REQUEST_REFUSED" });
    expect(calls).toEqual(["authorize", "begin", [SUCCEEDED, ""]]);
  });

  test("never throw, whatever they are given", async () => {
    const { dc, calls } = await serve();
    const start = await dc.begin(await dc.authorize({ tool: "mail.send" }));
    const reports: unknown[] = [
      null,
      "ended",
      {},
      { outcome: "succeeded", errorCode: "x".repeat(129) },
      { outcome: "succeeded", errorCode: "a\nb" },
      { outcome: "succeeded", durationMs: -1 },
      { outcome: "succeeded", durationMs: 0.5 },
      { outcome: "succeeded", summary: "é".repeat(513) },
      { outcome: "succeeded", summary: "\0" },
      { outcome: "succeeded", summary: "\ud800" },
    ];
    for (const report of reports)
      expect(await dc.report(start as never, report as never)).toMatchObject({
        state: "not_recorded",
        code: "BAD_REQUEST",
      });
    expect(await dc.report(null as never, "succeeded")).toMatchObject({ state: "not_recorded" });
    expect(await dc.report(start as never, "succeeded", { timeoutMs: 0 })).toMatchObject({ state: "not_recorded" });
    expect(calls).toEqual(["authorize", "begin"]);
  });
});

describe("FakeDataCrawl", () => {
  test("starts each key once, and keeps the reports", async () => {
    const dc = new FakeDataCrawl({ "mail.send": "allow", "mail.read": "deny" });
    const send = dc.protect("mail.send", () => "sent", { idempotencyKey: () => "send-1" });
    expect(await send({})).toBe("sent");
    await expect(send({})).rejects.toMatchObject({ name: "AlreadyStartedError", execution: { outcome: "succeeded" } });
    await expect(dc.protect("mail.read", () => 1)({})).rejects.toBeInstanceOf(DeniedError);
    expect(dc.reports).toMatchObject([{ outcome: "succeeded" }]);
    const denied = await dc.authorize({ tool: "mail.read" });
    expect(await dc.begin(denied)).toMatchObject({ state: "refused", reason: "NOT_ALLOWED" });
  });

  test("records an outcome once", async () => {
    const dc = new FakeDataCrawl({ t: "allow" });
    const start = await dc.begin(await dc.authorize({ tool: "t" }));
    if (start.state !== "started") throw new Error(start.message);
    expect(await dc.report(start, "failed")).toMatchObject({ state: "recorded", replayed: false });
    expect(await dc.report(start, "failed")).toMatchObject({ state: "recorded", replayed: true });
    expect(await dc.report(start, "succeeded")).toMatchObject({ state: "not_recorded" });
    expect(dc.reports).toHaveLength(1);
  });
});
