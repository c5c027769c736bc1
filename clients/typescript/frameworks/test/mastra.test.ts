import { guardTools, type MastraOptions, selfTest } from "@datacrawl/client/mastra";
import { FakeDataCrawl } from "@datacrawl/client/testing";
import { Agent } from "@mastra/core/agent";
import { createTool } from "@mastra/core/tools";
import type { MockLanguageModelV4 } from "ai/test";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { readBy, scripted, streaming } from "../examples/app/language-model.ts";
import { testExample } from "./support/example.ts";
import { ARGS, OWN_TOOLS, changing, clientAt, testAdapter, warnings } from "./support/matrix.ts";

const inputSchema = z.object({ to: z.string(), cc: z.array(z.string()) });

function emailTool(runs: unknown[], act: (args: unknown) => unknown = () => "sent", more: object = {}) {
  const execute = async (args: unknown): Promise<unknown> => {
    runs.push(args);
    return act(args);
  };
  return createTool({ id: "send_email", description: "Sends an email.", inputSchema, execute, ...more });
}

const calling = (...ids: string[]): MockLanguageModelV4 =>
  scripted(ids.map((id) => ({ name: "send_email", args: ARGS, id })));

function agentWith(model: object, tools: Record<string, ReturnType<typeof emailTool>>, more: object = {}): Agent {
  const named = { id: "assistant", name: "Assistant", instructions: "You send emails." };
  // Mastra's copy of the AI SDK's types is another one.
  return new Agent({ ...named, ...more, model: model as never, tools });
}

testAdapter("Mastra", async (scenario) => {
  const { dc, options, callIds = ["call-1"], run = "run-1", signal, streams = false, tool: act } = scenario;
  const runs: unknown[] = [];
  const model = calling(...callIds);
  const tools = guardTools(dc, { send_email: emailTool(runs, act) }, options as MastraOptions);
  const agent = agentWith(streams ? streaming(model) : model, tools);
  const given = { runId: run, ...(signal !== undefined && { abortSignal: signal }) };
  if (streams) await (await agent.stream("send it", given)).consumeStream();
  else await agent.generate("send it", given);
  return { runs, read: readBy(model) };
});

testExample("mastra");

describe("Mastra: what its own hooks do not stop", () => {
  const before = (answer: unknown) => ({ beforeToolCall: () => answer });

  test.each<[string, { tool?: object; agent?: object; run?: object }]>([
    ["an approval function that returns nothing", { tool: { requireApproval: () => {} } }],
    ["a hook with an unknown answer", { agent: { hooks: before({ proceed: "no" }) } }],
    [
      "a hook of the run, which replaces the agent's",
      { agent: { hooks: before({ proceed: false }) }, run: { hooks: before({}) } },
    ],
  ])("%s lets a bare tool run, and not a guarded one that is denied", async (_, more) => {
    for (const [dc, expected] of [
      [null, 1],
      [new FakeDataCrawl(), 0],
    ] as const) {
      const runs: unknown[] = [];
      const tools = { send_email: emailTool(runs, undefined, more.tool) };
      const agent = agentWith(calling("call-1"), dc === null ? tools : guardTools(dc, tools), more.agent);
      await agent.generate("send it", { runId: "run-1", ...more.run });
      expect(runs).toHaveLength(expected);
    }
  });
});

interface Executable {
  readonly execute: (input: unknown, context: unknown) => Promise<unknown>;
}

describe("Mastra: guarded tools", () => {
  test("are not made of tools that run elsewhere, unless they are named", () => {
    const browse = createTool({ id: "browse", description: "Runs in the browser.", inputSchema });
    const dc = new FakeDataCrawl();
    expect(() => guardTools(dc, { browse })).toThrow("the tool browse has no execute");
    expect(guardTools(dc, { browse }, { unguarded: ["browse"] })).toEqual({ browse });
  });

  test("stay tools of Mastra", () => {
    const send_email = emailTool([]);
    const guarded = guardTools(new FakeDataCrawl(), { send_email });
    expect(guarded.send_email).toBeInstanceOf(send_email.constructor);
    expect(guarded.send_email.inputSchema).toBe(send_email.inputSchema);
  });

  test("get the judged input, although Mastra's object changes meanwhile", async () => {
    const [args, runs]: [{ to: string; cc: string[] }, unknown[]] = [{ ...ARGS }, []];
    const tools = guardTools(changing(args), { send_email: emailTool(runs) });
    const { execute } = tools.send_email as unknown as Executable;
    await execute(args, { runId: "run-1", agent: { toolCallId: "call-1" } });
    expect(runs).toEqual([ARGS]);
  });

  test("that refuse their input are reported as failed", async () => {
    const dc = new FakeDataCrawl({ send_email: "allow" });
    const runs: unknown[] = [];
    const { execute } = guardTools(dc, { send_email: emailTool(runs) }).send_email as unknown as Executable;
    const context = { runId: "run-1", agent: { toolCallId: "call-1" } };
    expect(await execute({ to: 7 }, context)).toMatchObject({ error: true });
    expect(runs).toEqual([]);
    expect(dc.reports).toMatchObject([{ outcome: "failed", errorCode: "TOOL_ERROR" }]);
  });

  test("without an id of the call do not run", async () => {
    warnings();
    const runs: unknown[] = [];
    const dc = new FakeDataCrawl({ send_email: "allow" });
    const { execute } = guardTools(dc, { send_email: emailTool(runs) }).send_email as unknown as Executable;
    await expect(execute(ARGS, { workflow: { runId: "run-1" } })).rejects.toThrow("could not be judged");
    expect(runs).toEqual([]);
  });
});

describe("Mastra: the self-test", () => {
  test("passes if all tools are guarded and the probe is denied", async () => {
    const dc = new FakeDataCrawl();
    await selfTest(dc, await agentWith(calling(), guardTools(dc, { send_email: emailTool([]) })).listTools());
    expect(dc.requests).toMatchObject([{ tool: "datacrawl_self_test" }]);
  });

  test("asks about its own tool, whatever the options make of the application's", async () => {
    const dc = new FakeDataCrawl({ "mail.send": "allow" });
    await selfTest(dc, {}, OWN_TOOLS);
    expect(dc.requests).toMatchObject([{ tool: "datacrawl_self_test", payload: {} }]);
  });

  test("names tools that are not guarded", async () => {
    await expect(selfTest(new FakeDataCrawl(), { send_email: emailTool([]) })).rejects.toThrow(
      "self-test: not guarded: send_email",
    );
  });

  test("fails if the probe is allowed, or if nobody could be asked", async () => {
    await expect(selfTest(new FakeDataCrawl({ datacrawl_self_test: "allow" }), {})).rejects.toThrow(
      "self-test: the tool datacrawl_self_test ran",
    );
    await expect(selfTest(clientAt("http://127.0.0.1:1"), {})).rejects.toThrow("was not denied by the service");
  });
});
