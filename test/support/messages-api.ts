import type { ServerResponse } from "node:http";
import {
  type ScriptedCall,
  type ScriptedModel,
  type SentCall,
  sendEvents,
  startScriptedModel,
} from "./scripted-model.ts";

/** What became of a call, as the agent gave it back to the model. */
export interface ToolResult {
  readonly tool_use_id: string;
  readonly content: unknown;
  readonly is_error?: boolean;
}

interface Request {
  readonly messages: readonly Message[];
  readonly tools?: readonly object[];
  readonly stream?: boolean;
}

interface Message {
  readonly role: string;
  readonly content: string | readonly ({ readonly type: string } & Partial<ToolResult>)[];
}

/** Anthropic's Messages API, for agents whose `ANTHROPIC_BASE_URL` can be set. */
export function startMessagesApi(turns: readonly (readonly ScriptedCall[])[]): Promise<ScriptedModel<ToolResult>> {
  return startScriptedModel<Request, ToolResult>(turns, {
    asks: (path) => path === "/v1/messages",
    results: ({ messages }) =>
      messages
        .flatMap(({ content }) => (typeof content === "string" ? [] : content))
        .filter((block) => block.type === "tool_result") as ToolResult[],
    isBeside: ({ tools = [] }) => tools.length === 0,
    answer: (response, calls, { stream }) => answer(response, calls, stream === true),
  });
}

function answer(response: ServerResponse, calls: readonly SentCall[], streams: boolean): void {
  const blocks =
    calls.length > 0 ? calls.map((call) => ({ type: "tool_use", ...call })) : [{ type: "text", text: "done" }];
  const reason = calls.length > 0 ? "tool_use" : "end_turn";
  const message = {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "scripted",
    stop_sequence: null,
    usage: { input_tokens: 1, output_tokens: 1 },
  };
  if (!streams) {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ ...message, content: blocks, stop_reason: reason }));
    return;
  }
  const parts = blocks.flatMap((block, index) => {
    const isCall = "input" in block;
    const started = isCall ? { ...block, input: {} } : { type: "text", text: "" };
    const delta = isCall
      ? { type: "input_json_delta", partial_json: JSON.stringify(block.input) }
      : { type: "text_delta", text: "done" };
    return [
      { type: "content_block_start", index, content_block: started },
      { type: "content_block_delta", index, delta },
      { type: "content_block_stop", index },
    ];
  });
  sendEvents(response, [
    { type: "message_start", message: { ...message, content: [], stop_reason: null } },
    ...parts,
    { type: "message_delta", delta: { stop_reason: reason, stop_sequence: null }, usage: { output_tokens: 1 } },
    { type: "message_stop" },
  ]);
}
