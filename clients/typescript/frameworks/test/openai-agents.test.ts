import { guardTools, selfTest } from "@datacrawl/client/openai-agents";
import { FakeDataCrawl } from "@datacrawl/client/testing";
import { Agent, handoff, run, RunContext, tool, webSearchTool } from "@openai/agents";
import { SandboxAgent } from "@openai/agents/sandbox";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { ScriptedModel } from "../examples/app/scripted-model.ts";
import { testExample } from "./support/example.ts";
import { ARGS, OWN_TOOLS, clientAt, testAdapter, warnings } from "./support/matrix.ts";

const parameters = z.object({ to: z.string(), cc: z.array(z.string()) });

function emailTool(runs: unknown[], act: (args: unknown) => unknown = () => "sent", more: object = {}) {
  const execute = async (args: unknown): Promise<unknown> => {
    runs.push(args);
    return act(args);
  };
  return tool({ name: "send_email", description: "Sends an email.", parameters, execute, ...more });
}

const calling = (...ids: string[]): ScriptedModel =>
  new ScriptedModel(ids.map((id) => ({ name: "send_email", args: ARGS, id })));

function readBy(model: ScriptedModel): string[] {
  const { input = [] } = model.requests[1] ?? {};
  const items = typeof input === "string" ? [] : input;
  return items.flatMap((item) => {
    if (item.type !== "function_call_result") return [];
    const { output } = item;
    if (typeof output === "string") return [output];
    return Array.isArray(output) || output.type !== "text" ? [] : [output.text];
  });
}

testAdapter(
  "OpenAI Agents",
  async ({ dc, options, callIds = ["call-1"], run: runId, signal, streams = false, tool: act }) => {
    const runs: unknown[] = [];
    const tools = guardTools(dc, [emailTool(runs, act)], { ...options, run: runId });
    const model = calling(...callIds);
    const agent = new Agent({ name: "Assistant", model, tools });
    if (streams) await (await run(agent, "send it", { signal, stream: true })).completed;
    else await run(agent, "send it", { signal });
    return { runs, read: readBy(model) };
  },
  { errorCode: "TOOL_ERROR" },
);

testExample("openai-agents");

describe("OpenAI Agents: what its own hooks do not stop", () => {
  const runWith = async (more: object, dc?: FakeDataCrawl): Promise<number> => {
    const runs: unknown[] = [];
    const tools = [emailTool(runs, undefined, more)];
    const guarded = dc === undefined ? tools : guardTools(dc, tools);
    await run(new Agent({ name: "Assistant", model: calling("call-1"), tools: guarded }), "send it");
    return runs.length;
  };
  const guardrail = (answer: object) => ({ inputGuardrails: [{ name: "guard", run: async () => answer }] });

  test.each<[string, object]>([
    ["a guardrail that returns an empty object", guardrail({})],
    ["a guardrail that returns an unknown behavior", guardrail({ behavior: { type: "deny" } })],
    ["an approval function that returns nothing", { needsApproval: async () => {} }],
  ])("%s lets a bare tool run, and not a guarded one that is denied", async (_, more) => {
    expect(await runWith(more)).toBe(1);
    expect(await runWith(more, new FakeDataCrawl())).toBe(0);
  });

  test("an approval by the caller does not let a guarded tool run that is denied", async () => {
    const runs: unknown[] = [];
    const tools = guardTools(new FakeDataCrawl(), [emailTool(runs, undefined, { needsApproval: true })]);
    const agent = new Agent({ name: "Assistant", model: calling("call-1"), tools });
    const stopped = await run(agent, "send it");
    for (const one of stopped.interruptions) stopped.state.approve(one);
    expect((await run(agent, stopped.state)).finalOutput).toBe("done");
    expect(runs).toEqual([]);
  });
});

describe("OpenAI Agents: guarded tools", () => {
  test("are not made of tools that the SDK or OpenAI runs, unless they are named", () => {
    const dc = new FakeDataCrawl();
    expect(() => guardTools(dc, [webSearchTool()])).toThrow("the tool web_search is not a function tool");
    expect(guardTools(dc, [webSearchTool()], { unguarded: ["web_search"] })).toMatchObject([{ name: "web_search" }]);
  });

  test("that promise a structure end the run where they do not run", async () => {
    const runs: unknown[] = [];
    const structured = emailTool(runs, () => ({ sent: true }), { outputSchema: z.object({ sent: z.boolean() }) });
    const agent = new Agent({
      name: "A",
      model: calling("call-1"),
      tools: guardTools(new FakeDataCrawl(), [structured]),
    });
    await expect(run(agent, "send it")).rejects.toThrow("send_email did not run: it is not allowed");
    expect(runs).toEqual([]);
  });

  test("of an input that is not JSON are asked about the text, and refused by the tool", async () => {
    const runs: unknown[] = [];
    const dc = new FakeDataCrawl({ send_email: "allow" });
    const [guarded] = guardTools(dc, [emailTool(runs)], { key: () => "key-1" });
    await guarded?.invoke(new RunContext(), "{oops");
    expect(dc.requests).toMatchObject([{ payload: { input: "{oops" } }]);
    expect(runs).toEqual([]);
  });

  test("of an input with a member twice get the one that was judged", async () => {
    const dc = new FakeDataCrawl({ send_email: "allow" });
    const bare = { type: "function", name: "send_email", invoke: async (_: unknown, input: string) => input };
    const [guarded] = guardTools(dc, [bare], { key: () => "key-1" });
    const input = '{"to":"ann@example.com","to":"eve@example.net"}';
    expect(await guarded?.invoke({}, input)).toBe('{"to":"eve@example.net"}');
    expect(dc.requests).toMatchObject([{ payload: { to: "eve@example.net" } }]);
  });

  test("whose error the SDK puts into its text, as before 0.20, are reported as failed", async () => {
    const dc = new FakeDataCrawl({ send_email: "allow" });
    const text = "An error occurred while running the tool. Please try again. Error: RangeError: smtp";
    const bare = { type: "function", name: "send_email", invoke: async (_: unknown, input: string) => text + input };
    const [guarded] = guardTools(dc, [bare], { key: () => "key-1" });
    expect(await guarded?.invoke({}, "{}")).toBe(`${text}{}`);
    expect(dc.reports).toMatchObject([{ outcome: "failed", errorCode: "TOOL_ERROR" }]);
  });

  test("without an id of the call do not run", async () => {
    warnings();
    const runs: unknown[] = [];
    const [guarded] = guardTools(new FakeDataCrawl({ send_email: "allow" }), [emailTool(runs)]);
    expect(await guarded?.invoke(new RunContext(), JSON.stringify(ARGS))).toContain("could not be judged");
    expect(runs).toEqual([]);
  });
});

describe("OpenAI Agents: the self-test", () => {
  const agentWith = (tools: ReturnType<typeof emailTool>[], more: object = {}) =>
    new Agent({ name: "Assistant", model: calling(), tools, ...more });

  test("passes if all tools are guarded and the probe is denied", async () => {
    const dc = new FakeDataCrawl();
    await selfTest(dc, agentWith(guardTools(dc, [emailTool([])])));
    expect(dc.requests).toMatchObject([{ tool: "datacrawl_self_test" }]);
  });

  test("asks about its own tool, whatever the options make of the application's", async () => {
    const dc = new FakeDataCrawl({ "mail.send": "allow" });
    await selfTest(dc, agentWith([]), OWN_TOOLS);
    expect(dc.requests).toMatchObject([{ tool: "datacrawl_self_test", payload: {} }]);
  });

  test("names tools that are not guarded, and servers of the agent's own", async () => {
    const dc = new FakeDataCrawl();
    await expect(selfTest(dc, agentWith([emailTool([])]))).rejects.toThrow("self-test: not guarded: send_email");
    const servers = { mcpServers: [{ name: "files" }] };
    await expect(selfTest(dc, agentWith([], servers))).rejects.toThrow("not guarded: the tools of mcpServers");
  });

  test("looks at the agents that calls are handed to, and at sandboxes", async () => {
    const dc = new FakeDataCrawl();
    const naked = agentWith([emailTool([])], { name: "Naked" });
    for (const one of [naked, handoff(naked)])
      await expect(selfTest(dc, agentWith([], { handoffs: [one] }))).rejects.toThrow(
        "self-test: not guarded: send_email (agent Naked)",
      );
    const first = agentWith([], { name: "First" });
    const second = agentWith([], { name: "Second", handoffs: [first] });
    first.handoffs.push(second);
    await selfTest(dc, first);
    const boxed = new SandboxAgent({ name: "Boxed" });
    await expect(selfTest(dc, boxed)).rejects.toThrow("not guarded: the tools of its sandbox");
    await selfTest(dc, boxed, { unguarded: ["capabilities"] });
  });

  test("fails if the probe is allowed, or if nobody could be asked", async () => {
    await expect(selfTest(new FakeDataCrawl({ datacrawl_self_test: "allow" }), agentWith([]))).rejects.toThrow(
      "self-test: the tool datacrawl_self_test ran",
    );
    await expect(selfTest(clientAt("http://127.0.0.1:1"), agentWith([]))).rejects.toThrow(
      "was not denied by the service",
    );
  });
});
