import { DataCrawl } from "@datacrawl/client";
import { FakeDataCrawl } from "@datacrawl/client/testing";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Authorizer } from "../../../src/authorizer.ts";
import { allowing, API_KEY, type Asked, fail, reply, serveGrpc } from "../../../test/support/service.ts";

/** One run of an agent whose model calls the tool `send_email`, and then ends. */
export interface Scenario {
  readonly dc: Authorizer;
  readonly options?: Options;
  /** The ids of the calls that the model makes at once. Default: one. */
  readonly callIds?: readonly string[];
  /** The run, conversation or thread. */
  readonly run?: string;
  readonly signal?: AbortSignal;
  /** Runs the agent as a stream. */
  readonly streams?: boolean;
  /** What the tool does when it runs. */
  readonly tool?: (args: unknown) => unknown;
}

/** Options that every adapter takes, whatever its framework's context. */
export interface Options {
  readonly tool?: () => string;
  readonly key?: () => string;
  readonly payload?: () => { readonly [name: string]: string };
  readonly explain?: () => string;
  readonly principal?: string;
  readonly sessionId?: string;
  readonly reviewTimeoutMs?: number;
}

export interface Ran {
  /** The arguments of each run of the tool. */
  readonly runs: readonly unknown[];
  /** What the model read of each call, as text; empty if the run ended before. */
  readonly read: readonly string[];
}

export const ARGS = { to: "ann@example.com", cc: ["bob@example.com"] };

const opened: (() => unknown)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of opened.splice(0).toReversed()) await close();
});

/** A client of a service on this machine that answers as `respond` says. */
export async function clientOf(respond: (asked: Asked) => void, timeoutMs = 2000): Promise<DataCrawl> {
  const service = await serveGrpc(respond);
  opened.push(() => service.stop());
  return clientAt(service.url.origin, timeoutMs);
}

export function clientAt(url: string, timeoutMs = 2000): DataCrawl {
  const dc = new DataCrawl({ url, apiKey: API_KEY, timeoutMs, logger: { warn: () => {} } });
  opened.push(() => dc.close());
  return dc;
}

/** A fake that allows everything, and before it starts a call changes the recipient of `args`, which the framework still holds. */
export function changing(args: { to: string }): FakeDataCrawl {
  const dc = new FakeDataCrawl({ send_email: "allow" });
  const begin = dc.begin.bind(dc);
  dc.begin = (verdict) => {
    args.to = "eve@example.net";
    return begin(verdict);
  };
  return dc;
}

/** Keeps warnings of a test out of the log, and returns them. */
export function warnings(): unknown[] {
  const seen: unknown[] = [];
  vi.spyOn(process, "emitWarning").mockImplementation((warning) => void seen.push(warning));
  return seen;
}

/** Options that know the tools of the application alone, and not that of a self-test. */
export const OWN_TOOLS = {
  tool: () => "mail.send",
  key: ({ args }: { args: { to?: unknown } }) => `send-${(args.to as string).length}`,
  payload: ({ args }: { args: { to?: unknown } }) => ({ domain: (args.to as string).slice(4) }),
};

const STREAMED: [decision: "allow" | "deny", runs: unknown[]][] = [
  ["allow", [ARGS]],
  ["deny", []],
];

/**
 * What every adapter does in every situation: the tool runs only if its call is allowed, and once.
 *
 * @param errorCode what is reported of a tool that throws a RangeError, where the framework does not let it through
 * @param streamed decisions, and the arguments of the tool's runs. None where each run is a stream
 */
export function testAdapter(
  name: string,
  drive: (scenario: Scenario) => Promise<Ran>,
  { errorCode = "RangeError", streamed = STREAMED } = {},
): void {
  describe(`${name}: a tool call`, () => {
    test("that is allowed runs once, with the judged arguments, and is reported", async () => {
      const dc = new FakeDataCrawl({ send_email: "allow" });
      const { runs, read } = await drive({ dc, run: "run-1", callIds: ["call-1"] });
      expect(runs).toEqual([ARGS]);
      expect(read).toEqual([expect.stringContaining("sent")]);
      expect(dc.requests).toEqual([
        { tool: "send_email", payload: ARGS, idempotencyKey: "run-1/call-1", sessionId: "run-1" },
      ]);
      expect(dc.reports).toEqual([expect.objectContaining({ outcome: "succeeded" })]);
    });

    test("that is denied does not run, and the model reads why", async () => {
      const { runs, read } = await drive({ dc: new FakeDataCrawl({ send_email: "deny" }) });
      expect(runs).toEqual([]);
      expect(read).toEqual([expect.stringMatching(/send_email did not run: it is not allowed \(RULE_DENIED\)/)]);
    });

    test.each(streamed)("of a streamed run runs only if it is allowed: %s", async (decision, expected) => {
      const { runs } = await drive({ dc: new FakeDataCrawl({ send_email: decision }), streams: true });
      expect(runs).toEqual(expected);
    });

    test("whose tool throws is reported as failed", async () => {
      const dc = new FakeDataCrawl({ send_email: "allow" });
      const tool = (): never => {
        throw new RangeError("smtp");
      };
      await drive({ dc, tool }).catch(() => {});
      expect(dc.reports).toEqual([expect.objectContaining({ outcome: "failed", errorCode })]);
    });

    test("that needs a review which nobody answers does not run, and the model reads the decision's id", async () => {
      const dc = new FakeDataCrawl({ send_email: "needs_review" });
      const { runs, read } = await drive({ dc, options: { reviewTimeoutMs: 10 } });
      expect(runs).toEqual([]);
      expect(read).toEqual([
        expect.stringMatching(/people have to approve it, and nobody has decided yet \(decision [0-9a-f-]{36}\)/),
      ]);
    });

    test("that people approve runs once", async () => {
      const dc = new FakeDataCrawl({ send_email: "needs_review" });
      const wait = dc.waitForReview.bind(dc);
      dc.waitForReview = (decisionId) => {
        dc.resolveReview(decisionId, "allow");
        return wait(decisionId);
      };
      expect((await drive({ dc })).runs).toEqual([ARGS]);
    });

    test("does not run while the service is down", async () => {
      // Nobody listens on this port: to bind it needs privileges, and nothing here uses it.
      const { runs, read } = await drive({ dc: clientAt("http://127.0.0.1:1") });
      expect(runs).toEqual([]);
      expect(read).toEqual([expect.stringMatching(/could not be asked \(SERVICE_UNAVAILABLE.* It can be tried later/)]);
    });

    test("does not run while the service does not answer", async () => {
      const { runs, read } = await drive({ dc: await clientOf(() => {}, 200) });
      expect(runs).toEqual([]);
      expect(read).toEqual([expect.stringMatching(/could not be asked \(DEADLINE_EXCEEDED/)]);
    });

    test.each<[string, (asked: Asked) => void]>([
      ["about another tool", ({ stream, request }) => reply(stream, allowing(request, { tool: "read_email" }))],
      ["that ends early", ({ stream, request }) => reply(stream, allowing(request).subarray(0, -8))],
      ["of noise", ({ stream }) => reply(stream, new Uint8Array([0xff, 0xff, 0xff]))],
    ])("does not run after an answer %s", async (_, respond) => {
      const { runs, read } = await drive({ dc: await clientOf(respond) });
      expect(runs).toEqual([]);
      expect(read).toEqual([expect.stringMatching(/could not be asked \(MALFORMED_RESPONSE/)]);
    });

    test("does not run if the service refuses the credential", async () => {
      const { runs, read } = await drive({ dc: await clientOf(({ stream }) => fail(stream, 16)) });
      expect(runs).toEqual([]);
      expect(read).toEqual([expect.stringContaining("its request was refused")]);
    });

    test.each(["tool", "key", "payload"] as const)(
      "does not run if the function that names its %s throws, or returns something else",
      async (option) => {
        const seen = warnings();
        const dc = new FakeDataCrawl({ send_email: "allow" });
        const throwing = (): never => {
          throw new Error("secret");
        };
        for (const wrong of [throwing, () => 7 as never]) {
          const { runs, read } = await drive({ dc, options: { [option]: wrong } });
          expect(runs).toEqual([]);
          expect(read).toEqual([expect.not.stringContaining("secret")]);
        }
        expect(seen[0]).toContain("secret");
        expect(dc.reports).toEqual([]);
      },
    );

    test("does not run if its run is cancelled while it is judged", async () => {
      warnings();
      const caller = new AbortController();
      const dc = await clientOf(({ stream, request }) => {
        caller.abort();
        reply(stream, allowing(request));
      });
      const runs: unknown[] = [];
      await drive({ dc, signal: caller.signal, tool: (args) => runs.push(args) }).catch(() => {});
      expect(runs).toEqual([]);
    });

    test("runs once if the model makes it twice at the same time under one id", async () => {
      const dc = new FakeDataCrawl({ send_email: "allow" });
      const { runs } = await drive({ dc, callIds: ["call-1", "call-1"] });
      expect(runs).toEqual([ARGS]);
    });

    test("runs once if its run is repeated", async () => {
      const dc = new FakeDataCrawl({ send_email: "allow" });
      const first = await drive({ dc, run: "run-1" });
      const second = await drive({ dc, run: "run-1" });
      expect([first.runs, second.runs]).toEqual([[ARGS], []]);
      expect(second.read).toEqual([
        expect.stringContaining('this call was started before, and its outcome was "succeeded"'),
      ]);
      expect((await drive({ dc, run: "run-2" })).runs).toEqual([ARGS]);
    });

    test("is asked about under the names that the options give it, and explained as they say", async () => {
      const dc = new FakeDataCrawl({ "mail.send": "deny" });
      const options = {
        tool: () => "mail.send",
        key: () => "key-1",
        payload: () => ({ domain: "example.com" }),
        explain: () => "not today",
        principal: "ann",
        sessionId: "session-1",
      };
      const { read } = await drive({ dc, options });
      expect(read).toEqual([expect.stringContaining("not today")]);
      expect(dc.requests).toEqual([
        {
          tool: "mail.send",
          payload: { domain: "example.com" },
          idempotencyKey: "key-1",
          principal: "ann",
          sessionId: "session-1",
        },
      ]);
    });
  });
}
