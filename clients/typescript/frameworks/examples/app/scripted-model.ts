import { type Model, type ModelRequest, type ModelResponse, type ResponseStreamEvent, Usage } from "@openai/agents";

interface Call {
  readonly name: string;
  readonly args: object;
  readonly id: string;
}

/** A model of the OpenAI Agents SDK that makes its calls at once, and then ends. */
export class ScriptedModel implements Model {
  readonly requests: ModelRequest[] = [];
  readonly #calls: readonly Call[];

  constructor(calls: readonly Call[]) {
    this.#calls = calls;
  }

  async getResponse(request: ModelRequest): Promise<ModelResponse> {
    this.requests.push(request);
    if (this.requests.length > 1)
      return {
        usage: new Usage(),
        output: [
          { type: "message", role: "assistant", status: "completed", content: [{ type: "output_text", text: "done" }] },
        ],
      };
    const output = this.#calls.map(({ name, args, id }) => {
      return { type: "function_call" as const, callId: id, name, arguments: JSON.stringify(args) };
    });
    return { usage: new Usage(), output };
  }

  async *getStreamedResponse(request: ModelRequest): AsyncGenerator<ResponseStreamEvent> {
    const { output } = await this.getResponse(request);
    const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 };
    const response = { id: `response-${this.requests.length}`, usage, output };
    yield { type: "response_done", response } as ResponseStreamEvent;
  }
}
