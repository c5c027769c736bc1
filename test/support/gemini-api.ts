import { type ScriptedCall, type ScriptedModel, sendEvents, startScriptedModel } from "./scripted-model.ts";

interface Part {
  readonly functionResponse?: { readonly name: string; readonly response: object };
}

interface Request {
  readonly contents: readonly { readonly parts?: readonly Part[] }[];
  readonly tools?: readonly object[];
}

/** Google's Gemini API, for agents whose `GOOGLE_GEMINI_BASE_URL` can be set. */
export function startGeminiApi(turns: readonly (readonly ScriptedCall[])[]): Promise<ScriptedModel<Part>> {
  return startScriptedModel<Request, Part>(turns, {
    asks: (path) => path.endsWith(":streamGenerateContent"),
    results: ({ contents }) =>
      contents.flatMap(({ parts = [] }) => parts).filter(({ functionResponse }) => functionResponse !== undefined),
    isBeside: ({ tools = [] }) => tools.length === 0,
    answer(response, calls) {
      const parts = calls.map(({ name, input }) => ({ functionCall: { name, args: input } }));
      const content = { role: "model", parts: parts.length > 0 ? parts : [{ text: "done" }] };
      const usageMetadata = { promptTokenCount: 1, candidatesTokenCount: 1, totalTokenCount: 2 };
      sendEvents(response, [{ candidates: [{ content, finishReason: "STOP", index: 0 }], usageMetadata }]);
    },
  });
}
