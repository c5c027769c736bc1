import { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessage, type BaseMessage } from "@langchain/core/messages";
import type { ChatResult } from "@langchain/core/outputs";

interface Call {
  readonly name: string;
  readonly args: Record<string, unknown>;
  readonly id: string;
}

/** A model that makes the calls of one step after the other, and then ends. */
export class ScriptedChatModel extends BaseChatModel {
  readonly #steps: readonly (readonly Call[])[];
  readonly #messageId: string;
  #step = 0;

  constructor(steps: readonly (readonly Call[])[], messageId = "message-1") {
    super({});
    this.#steps = steps;
    this.#messageId = messageId;
  }

  override _llmType(): string {
    return "scripted";
  }

  override bindTools(): this {
    return this;
  }

  override async _generate(_messages: BaseMessage[]): Promise<ChatResult> {
    const calls = this.#steps[this.#step++] ?? [];
    const id = this.#step === 1 ? this.#messageId : `${this.#messageId}-${this.#step}`;
    const message = new AIMessage({ id, content: "", tool_calls: [...calls] });
    return { generations: [{ message, text: "" }] };
  }
}
