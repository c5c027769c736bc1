import type { Passing, RequestId, ToolCall } from "./message.ts";
import { TOOLS_CALL } from "./methods.ts";

/** A call that waits for its decision. */
export interface Held {
  readonly call: ToolCall;
  /** Aborted when the client has cancelled the call. */
  readonly signal: AbortSignal;
  readonly release: () => void;
}

/** A client's requests that have no answer yet: those that wait here, and those that were forwarded. */
export class InFlight {
  readonly #held = new Map<RequestId, AbortController>();
  readonly #forwarded = new Map<RequestId, string>();

  /** Null if another request has this id: an answer, or what cancels it, could mean either. */
  hold(call: ToolCall): Held | null {
    const { id } = call;
    if (this.#held.has(id) || this.#forwarded.has(id)) return null;
    const controller = new AbortController();
    this.#held.set(id, controller);
    return { call, signal: controller.signal, release: () => void this.#held.delete(id) };
  }

  /** True if a call with this id waits here: it will not be forwarded. Nobody waits for an answer to it any more in either case. */
  cancel(id: unknown): boolean {
    const held = this.#held.get(id as RequestId);
    if (held === undefined) this.#forwarded.delete(id as RequestId);
    held?.abort();
    return held !== undefined;
  }

  forward(message: ToolCall | Extract<Passing, { readonly kind: "request" }>): void {
    this.#forwarded.set(message.id, message.kind === "call" ? TOOLS_CALL : message.method);
  }

  /** The method of the request that `id` answers; null if there is none. */
  answered(id: unknown): string | null {
    const method = this.#forwarded.get(id as RequestId) ?? null;
    this.#forwarded.delete(id as RequestId);
    return method;
  }

  /** The ids of what the server has and has not answered. */
  get forwarded(): readonly RequestId[] {
    return [...this.#forwarded.keys()];
  }
}
