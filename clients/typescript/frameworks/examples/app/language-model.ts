import { simulateStreamingMiddleware, wrapLanguageModel } from "ai";
import { MockLanguageModelV4 } from "ai/test";

interface Call {
  readonly name: string;
  readonly args: object;
  readonly id: string;
}

type Content = Awaited<ReturnType<MockLanguageModelV4["doGenerate"]>>["content"];

/** A model of the AI SDK that makes its calls at once, and then ends. */
export function scripted(calls: readonly Call[]): MockLanguageModelV4 {
  const usage = {
    inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 1, text: 1, reasoning: 0 },
  };
  const answer = (unified: "stop" | "tool-calls", content: Content) => {
    return { content, finishReason: { unified, raw: undefined }, usage, warnings: [] };
  };
  const content = calls.map(({ name, args, id }) => {
    return { type: "tool-call" as const, toolCallId: id, toolName: name, input: JSON.stringify(args) };
  });
  return new MockLanguageModelV4({
    doGenerate: [
      ...(content.length > 0 ? [answer("tool-calls", content)] : []),
      answer("stop", [{ type: "text", text: "done" }]),
    ],
  });
}

/** The same model, as a stream. */
export function streaming(model: MockLanguageModelV4): ReturnType<typeof wrapLanguageModel> {
  return wrapLanguageModel({ model, middleware: simulateStreamingMiddleware() });
}

/** What the model has read of its calls. */
export function readBy(model: MockLanguageModelV4): string[] {
  const prompt = model.doGenerateCalls[1]?.prompt ?? [];
  return prompt
    .flatMap(({ role, content }) => (role === "tool" ? content : []))
    .map((part) => (part.type === "tool-result" ? JSON.stringify(part.output).replaceAll("\\", "") : ""));
}
