import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A tool that the scripted model calls. */
export interface ScriptedCall {
  readonly name: string;
  readonly input: object;
}

/** What became of a call, as the agent gave it back to the model. */
export interface ToolResult {
  readonly tool_use_id: string;
  readonly content: unknown;
  readonly is_error?: boolean;
}

interface Message {
  readonly role: string;
  readonly content: string | readonly ({ readonly type: string } & Partial<ToolResult>)[];
}

/**
 * A stand-in for Anthropic's Messages API on this machine, for agents whose `ANTHROPIC_BASE_URL` can be set: a model that follows a script. It calls
 * the tools of one turn after the other, each turn when the results of the one before are there, and then says that it is done.
 */
export interface MessagesApi {
  readonly url: string;
  /** The results that the agent has given back, in their order. */
  readonly results: readonly ToolResult[];
  close(): void;
}

export async function startMessagesApi(turns: readonly (readonly ScriptedCall[])[]): Promise<MessagesApi> {
  let results: readonly ToolResult[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      let body = "";
      for await (const part of request) body += String(part);
      const path = (request.url ?? "").split("?")[0];
      if (request.method !== "POST" || path !== "/v1/messages") {
        response.writeHead(404, { "content-type": "application/json" });
        response.end('{"type":"error","error":{"type":"not_found_error","message":"not scripted"}}');
        return;
      }
      const {
        messages,
        tools = [],
        stream,
      } = JSON.parse(body) as {
        messages: readonly Message[];
        tools?: readonly object[];
        stream?: boolean;
      };
      const given = resultsIn(messages);
      if (given.length > results.length) results = given;
      // What has no tools is a question beside the conversation, such as for its title.
      const turn = tools.length === 0 ? [] : (turns[turnsDone(turns, given.length)] ?? []);
      const content = turn.map(({ name, input }, index) => ({
        type: "tool_use",
        id: `toolu_${given.length + index + 1}`,
        name,
        input,
      }));
      answer(response, content, stream === true);
    })().catch(() => response.destroy());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get results() {
      return results;
    },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function resultsIn(messages: readonly Message[]): ToolResult[] {
  return messages
    .flatMap(({ content }) => (typeof content === "string" ? [] : content))
    .filter((block) => block.type === "tool_result") as ToolResult[];
}

/** How many turns have all their results, of the first `results`. */
function turnsDone(turns: readonly (readonly ScriptedCall[])[], results: number): number {
  let [done, left] = [0, results];
  for (const turn of turns) {
    if (left < turn.length) break;
    left -= turn.length;
    done += 1;
  }
  return done;
}

function answer(
  response: ServerResponse,
  calls: readonly { readonly input: object; readonly [field: string]: unknown }[],
  streams: boolean,
): void {
  const blocks = calls.length > 0 ? calls : [{ type: "text", text: "done" }];
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
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (type: string, data: object): void => {
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  };
  send("message_start", { message: { ...message, content: [], stop_reason: null } });
  for (const [index, block] of blocks.entries()) {
    const isCall = "input" in block;
    const started = isCall ? { ...block, input: {} } : { type: "text", text: "" };
    const delta = isCall
      ? { type: "input_json_delta", partial_json: JSON.stringify(block.input) }
      : { type: "text_delta", text: "done" };
    send("content_block_start", { index, content_block: started });
    send("content_block_delta", { index, delta });
    send("content_block_stop", { index });
  }
  send("message_delta", { delta: { stop_reason: reason, stop_sequence: null }, usage: { output_tokens: 1 } });
  send("message_stop", {});
  response.end();
}
