import { type ScriptedCall, type ScriptedModel, sendEvents, startScriptedModel } from "./scripted-model.ts";

interface Item {
  readonly type: string;
  readonly call_id?: string;
  readonly output?: unknown;
}

/** OpenAI's Responses API, for agents that take another provider of models. */
export function startResponsesApi(turns: readonly (readonly ScriptedCall[])[]): Promise<ScriptedModel<Item>> {
  return startScriptedModel<{ readonly input: readonly Item[] }, Item>(turns, {
    asks: (path) => path === "/v1/responses",
    results: ({ input }) => input.filter(({ type }) => type === "function_call_output"),
    isBeside: () => false,
    answer(response, calls) {
      const said = { type: "message", role: "assistant", content: [{ type: "output_text", text: "done" }] };
      const items = calls.map(({ id, name, input }) => ({
        type: "function_call",
        call_id: id,
        name,
        arguments: JSON.stringify(input),
      }));
      sendEvents(response, [
        { type: "response.created", response: { id: "resp_1" } },
        ...(items.length > 0 ? items : [said]).map((item) => ({ type: "response.output_item.done", item })),
        {
          type: "response.completed",
          response: { id: "resp_1", usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 } },
        },
      ]);
    },
  });
}
