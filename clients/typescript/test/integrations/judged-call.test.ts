import { describe, expect, test, vi } from "vitest";
import { AlreadyStartedError, DeniedError, NotStartedError } from "../../src/index.ts";
import { type FoundCall, type GuardOptions, runJudged, ToolNotRunError } from "../../src/integrations/judged-call.ts";
import { FakeDataCrawl } from "../../src/testing.ts";

function found(unverifiedArgs: unknown, more: Partial<FoundCall<null>> = {}): FoundCall<null> {
  const named = { toolName: "send_email", callId: "call-1", run: "run-1" };
  return { ...named, unverifiedArgs, context: null, signal: undefined, ...more };
}

const allowing = (): FakeDataCrawl => new FakeDataCrawl({ send_email: "allow" });
const stopped = (run: Promise<unknown>): Promise<unknown> => run.catch((error: unknown) => error);

describe("a tool call of a framework", () => {
  test("runs on the arguments that were judged, although the framework's object changes meanwhile", async () => {
    const args = { to: ["ann@example.com"] };
    const dc = allowing();
    const begin = dc.begin.bind(dc);
    dc.begin = (verdict) => {
      args.to.push("eve@example.net");
      return begin(verdict);
    };
    expect(await runJudged(dc, {}, found(args), (judged) => judged)).toEqual({ to: ["ann@example.com"] });
    expect(dc.requests).toMatchObject([{ payload: { to: ["ann@example.com"] } }]);
  });

  test("runs on the arguments that were judged, although a function of the options changes its copy", async () => {
    const payload: GuardOptions<null>["payload"] = ({ args }) => {
      (args as { to: string }).to = "eve@example.net";
      return args;
    };
    const dc = allowing();
    const ran = await runJudged(dc, { payload }, found({ to: "ann@example.com" }), (judged) => judged);
    expect(ran).toEqual({ to: "ann@example.com" });
  });

  test.each([["text"], [7], [null], [["a"]]])(
    "with arguments that are %j is judged as the member input",
    async (args) => {
      const dc = allowing();
      expect(await runJudged(dc, {}, found(args), (judged) => judged)).toEqual(args);
      expect(dc.requests).toMatchObject([{ payload: { input: args } }]);
    },
  );

  test("without arguments is judged as an empty object", async () => {
    const dc = allowing();
    expect(await runJudged(dc, {}, found(undefined), (judged) => judged)).toEqual({});
    expect(dc.requests).toMatchObject([{ payload: {} }]);
  });

  test.each<[string, unknown]>([
    ["a date", { at: new Date(0) }],
    ["a function", { at: () => 0 }],
    ["a proxy", new Proxy({}, {})],
  ])("with %s in its arguments does not run", async (_, args) => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const dc = allowing();
    let runs = 0;
    await stopped(runJudged(dc, {}, found(args), () => ++runs));
    warned.mockRestore();
    expect(runs).toBe(0);
    expect(dc.reports).toEqual([]);
  });

  test.each([[{ callId: undefined }], [{ callId: "" }], [{ run: undefined }]])(
    "without an id (%j) does not run, unless its key is named",
    async (missing) => {
      const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
      let runs = 0;
      await stopped(runJudged(allowing(), {}, found({}, missing), () => ++runs));
      expect(warned).toHaveBeenCalledWith(
        expect.stringContaining('name its key with the option "key"'),
        expect.anything(),
      );
      warned.mockRestore();
      expect(runs).toBe(0);
      await runJudged(allowing(), { key: () => "key-1" }, found({}, missing), () => ++runs);
      expect(runs).toBe(1);
    },
  );

  test.each(["tool", "key", "payload"] as const)(
    "does not run if the function that names its %s throws, or returns something else",
    async (option) => {
      const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
      const throwing = (): never => {
        throw new Error("broken");
      };
      const none = (): undefined => undefined;
      let runs = 0;
      for (const wrong of [throwing, option === "payload" ? () => 7 : none, ...(option === "key" ? [() => ""] : [])])
        await stopped(runJudged(allowing(), { [option]: wrong }, found({}), () => ++runs));
      warned.mockRestore();
      expect(runs).toBe(0);
    },
  );

  test("that was cancelled is not asked about", async () => {
    const dc = allowing();
    let runs = 0;
    await stopped(runJudged(dc, {}, found({}, { signal: AbortSignal.abort() }), () => ++runs));
    expect([runs, dc.requests]).toEqual([0, []]);
  });

  test("that is cancelled after it was allowed does not run", async () => {
    const caller = new AbortController();
    const dc = allowing();
    const begin = dc.begin.bind(dc);
    dc.begin = (verdict) => {
      caller.abort();
      return begin(verdict);
    };
    let runs = 0;
    await stopped(runJudged(dc, {}, found({}, { signal: caller.signal }), () => ++runs));
    expect(runs).toBe(0);
  });

  test("passes on what its tool throws, also the error of a guarded tool inside it", async () => {
    const thrown = new RangeError("smtp");
    expect(await stopped(runJudged(allowing(), {}, found({}), () => Promise.reject(thrown)))).toBe(thrown);
    const inner = await stopped(runJudged(new FakeDataCrawl(), {}, found({}), () => 1));
    const outer = runJudged(allowing(), {}, found({}), () => {
      throw inner;
    });
    expect(await stopped(outer)).toBe(inner);
  });

  test("says by its error why it did not run", async () => {
    const denied = (await stopped(runJudged(new FakeDataCrawl(), {}, found({}), () => 1))) as ToolNotRunError;
    expect(denied).toBeInstanceOf(ToolNotRunError);
    expect(denied).toMatchObject({
      toolName: "send_email",
      decisionId: expect.any(String),
      cause: expect.any(DeniedError),
    });

    const dc = allowing();
    await runJudged(dc, {}, found({}), () => 1);
    expect(await stopped(runJudged(dc, {}, found({}), () => 1))).toMatchObject({
      cause: expect.any(AlreadyStartedError),
    });
    expect(await runJudged(dc, { once: false }, found({}), () => "again")).toBe("again");

    const full = allowing();
    full.begin = async ({ decisionId }) => {
      const why = { reason: "SERVICE_UNAVAILABLE", code: null, retryAfterMs: null, source: "guard" } as const;
      return { state: "refused", message: "no answer", decisionId, ...why };
    };
    const refused = await stopped(runJudged(full, {}, found({}), () => 1));
    expect(refused).toMatchObject({
      cause: expect.any(NotStartedError),
      message: expect.stringContaining("could not be started (SERVICE_UNAVAILABLE"),
    });
  });

  test("does not run if the function that explains throws, and is explained without it", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const explain = (): never => {
      throw new Error("broken");
    };
    const error = await stopped(runJudged(new FakeDataCrawl(), { explain }, found({}), () => 1));
    warned.mockRestore();
    expect(error).toMatchObject({ message: expect.stringMatching(/^send_email did not run: it is not allowed/) });
  });
});
