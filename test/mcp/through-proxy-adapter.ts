/**
 * An adapter of the conformance kit (docs/conformance.md) in which an MCP client calls a tool through the proxy: an allow is a call that has
 * reached the MCP server, whatever the client was answered.
 */
import { PassThrough } from "node:stream";
import { readFileSync } from "node:fs";
import { OpenGuard } from "@datacrawl/client/internal/call/open";
import { readOptions } from "@datacrawl/client/internal/options";
import type { AdapterQuestion } from "../../conformance/src/adapter.ts";
import { answerQuestions, type Heard } from "../../conformance/test/adapters/lines.ts";
import { systemClock } from "../../src/core/clock.ts";
import { RandomPool } from "../../src/core/ids.ts";
import { Gate, type GuardVerdict } from "../../src/mcp/gate.ts";
import { runStdioProxy } from "../../src/mcp/stdio/proxy.ts";

interface Answer {
  readonly result: { readonly _meta: { readonly [Name in `dev.datacrawl/${"decision" | "start"}`]?: Partial<Heard> } };
}

const ALLOW: GuardVerdict = {
  decision: "allow",
  reason: "RULE_ALLOWED",
  message: "",
  ruleId: "",
  decisionId: "",
  source: "service",
  policyVersion: "",
  replayed: false,
  decidedAt: 0,
  tool: "",
  idempotencyKey: "",
  refusal: null,
};

const clock = systemClock;
const random = new RandomPool();
/** By what each asks, and how. */
const guards = new Map<string, OpenGuard>();

function guardFor({ url, apiKey, caFile, transport }: AdapterQuestion): OpenGuard {
  const key = `${transport} ${url}`;
  const known = guards.get(key);
  if (known !== undefined) return known;
  const options = {
    url,
    apiKey,
    ca: readFileSync(caFile, "utf8"),
    transport: transport === "grpc" ? "grpc" : "connect",
  } as const;
  // The cases test how answers are read. An open circuit would read none.
  const { timeoutMs: _, ...settings } = readOptions({ ...options, circuit: { failures: 1_000_000 } }, {});
  const guard = new OpenGuard({ ...settings, syncs: false, clock, random });
  guards.set(key, guard);
  return guard;
}

await answerQuestions(async (question): Promise<Heard> => {
  const [input, output, stdin, stdout] = [new PassThrough(), new PassThrough(), new PassThrough(), new PassThrough()];
  const { promise: ended, resolve: end } = Promise.withResolvers<{ how: string; isClean: boolean }>();
  const stop = async (): Promise<void> => {
    stdin.end();
    stdout.end();
    end({ how: "has ended", isClean: true });
  };
  const guard = guardFor(question);
  const isStart = question.method === "BeginExecution";
  // A case asks about one of the two calls. The kit's server answers no other.
  const allow = async () => ({ ...ALLOW, decisionId: question.decisionId });
  const gate = new Gate({
    guard: {
      authorize: isStart ? allow : guard.authorize.bind(guard),
      waitForReview: guard.waitForReview.bind(guard),
      begin: guard.begin.bind(guard),
    },
    runs: { open: () => ({ end: () => {}, isOver: false }) },
    once: isStart,
    server: "conformance",
    timeoutMs: question.deadlineMs,
    reviewWaitMs: 0,
    clock,
    random,
  });
  const server = { stdin, stdout, ended, stop };
  const done = runStdioProxy({ gate, server, input, output, passMethods: new Set(), listFilter: null, warn: () => {} });
  const params = { name: question.tool.replace(/^conformance\./, ""), arguments: question.payload };
  input.end(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params })}\n`);
  await done;
  if (stdin.read() !== null) return { decision: "allow", ...(isStart && { reason: "STARTED" }) };
  const { result } = JSON.parse(String(output.read())) as Answer;
  const { decision = "deny", reason } =
    result["_meta"]["dev.datacrawl/start"] ?? result["_meta"]["dev.datacrawl/decision"] ?? {};
  return { decision, ...(reason !== undefined && { reason }) };
});
