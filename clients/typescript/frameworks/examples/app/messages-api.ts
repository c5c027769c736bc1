/** Stands in for the model behind Claude Code: Anthropic's Messages API, streamed, with answers from a script. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

interface Call {
  readonly name: string;
  readonly args: object;
  readonly id: string;
}

interface MessagesApi {
  readonly url: string;
  /** What the model has read of its calls, in order. */
  readonly read: string[];
  readonly server: Server;
}

/** The part of a request that is read here. */
interface Asked {
  readonly model?: string;
  readonly tools?: readonly unknown[];
  readonly messages?: readonly { readonly content: string | readonly Block[] }[];
}

interface Block {
  readonly type: string;
  readonly content?: string | readonly { readonly text?: string }[];
}

/** Answers the first request that has tools with the calls, and every other one with a text. */
export async function serveMessages(calls: readonly Call[]): Promise<MessagesApi> {
  const read: string[] = [];
  let hasCalled = false;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (request.method !== "POST" || !/^\/v1\/messages(\?|$)/.test(request.url ?? ""))
        return void response.writeHead(404).end();
      const asked = JSON.parse(Buffer.concat(chunks).toString()) as Asked;
      read.push(...resultsIn(asked));
      const isFirst = !hasCalled && (asked.tools ?? []).length > 0;
      if (isFirst) hasCalled = true;
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const event of eventsOf(asked.model ?? "", isFirst ? calls : []))
        response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, read, server };
}

function resultsIn({ messages = [] }: Asked): string[] {
  const { content = "" } = messages.at(-1) ?? {};
  const blocks = typeof content === "string" ? [] : content;
  return blocks
    .filter(({ type }) => type === "tool_result")
    .map(({ content: result = "" }) =>
      typeof result === "string" ? result : result.map(({ text = "" }) => text).join("\n"),
    );
}

/** @see https://docs.anthropic.com/en/docs/build-with-claude/streaming */
function eventsOf(model: string, calls: readonly Call[]): { readonly type: string }[] {
  const named = { id: `msg_${crypto.randomUUID()}`, type: "message", role: "assistant", model };
  const empty = { content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } };
  const blocks = calls.map(({ name, args, id }) => ({
    block: { type: "tool_use", id, name, input: {} },
    delta: { type: "input_json_delta", partial_json: JSON.stringify(args) },
  }));
  const text = { block: { type: "text", text: "" }, delta: { type: "text_delta", text: "done" } };
  const content = (calls.length > 0 ? blocks : [text]).flatMap(({ block, delta }, index) => [
    { type: "content_block_start", index, content_block: block },
    { type: "content_block_delta", index, delta },
    { type: "content_block_stop", index },
  ]);
  const stop_reason = calls.length > 0 ? "tool_use" : "end_turn";
  return [
    { type: "message_start", message: { ...named, ...empty } } as { type: string },
    ...content,
    { type: "message_delta", delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: 1 } } as {
      type: string;
    },
    { type: "message_stop" },
  ];
}
