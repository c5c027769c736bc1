/** Stands in for a user's own modules. */
import { MockLanguageModelV4 } from "ai/test";
import { ARGS } from "./email.ts";

export { inputSchema, sendEmail } from "./email.ts";

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};

export const model = new MockLanguageModelV4({
  doGenerate: [
    {
      content: [
        { type: "tool-call", toolCallId: "call-1", toolName: "send_email", input: JSON.stringify(ARGS) },
        { type: "tool-call", toolCallId: "call-2", toolName: "send_email", input: '{"to":"eve@example.net"}' },
      ],
      finishReason: { unified: "tool-calls", raw: undefined },
      usage,
      warnings: [],
    },
    {
      content: [{ type: "text", text: "done" }],
      finishReason: { unified: "stop", raw: undefined },
      usage,
      warnings: [],
    },
  ],
});
