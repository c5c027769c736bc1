import type { Passing, RequestId, ToolCall } from "./message.ts";
import { TOOLS_CALL } from "./methods.ts";
import type { Run } from "./runs.ts";

/** A call that waits for its decision. */
export interface Held {
  readonly call: ToolCall;
  /** Aborted when the client has cancelled the call. */
  readonly signal: AbortSignal;
  readonly release: () => void;
}

/** A request that the server has and has not answered. */
interface Forwarded {
  readonly method: string;
  /** Of a call; null for every other request. */
  readonly run: Run | null;
}

/** A client's requests that have no answer yet: those that wait here, and those that were forwarded. */
export class InFlight {
  readonly #held = new Map<RequestId, AbortController>();
  readonly #forwarded = new Map<RequestId, Forwarded>();

  /** Null if another request has this id: an answer, or what cancels it, could mean either. */
  hold(call: ToolCall): Held | null {
    const { id } = call;
    if (this.has(id)) return null;
    const controller = new AbortController();
    this.#held.set(id, controller);
    return { call, signal: controller.signal, release: () => void this.#held.delete(id) };
  }

  /** Whether a request with this id waits here or was forwarded, and has no answer yet. */
  has(id: RequestId): boolean {
    return this.#held.has(id) || this.#forwarded.has(id);
  }

  /** True if a call with this id waits here: it will not be forwarded. Nobody waits for an answer to it any more in either case. */
  cancel(id: unknown): boolean {
    const held = this.#held.get(id as RequestId);
    if (held === undefined) this.answered(id)?.run?.end({ outcome: "unknown", errorCode: "CANCELLED" });
    held?.abort();
    return held !== undefined;
  }

  /** @param run of a call */
  forward(message: ToolCall | Extract<Passing, { readonly kind: "request" }>, run: Run | null): void {
    // In a batch an id may occur twice: the server's answer could be to either.
    this.#forwarded.get(message.id)?.run?.end({ outcome: "unknown", errorCode: "ID_REUSED" });
    this.#forwarded.set(message.id, { method: message.kind === "call" ? TOOLS_CALL : message.method, run });
  }

  /** The request that `id` answers; null if there is none. */
  answered(id: unknown): Forwarded | null {
    const request = this.#forwarded.get(id as RequestId) ?? null;
    this.#forwarded.delete(id as RequestId);
    return request;
  }

  /** Forgets what the server has and has not answered, and ends its calls so. Returns the ids. */
  abandon(errorCode: string): readonly RequestId[] {
    for (const { run } of this.#forwarded.values()) run?.end({ outcome: "unknown", errorCode });
    const ids = [...this.#forwarded.keys()];
    this.#forwarded.clear();
    return ids;
  }
}
