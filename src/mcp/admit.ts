import { isAllow } from "../core/decision.ts";
import type { JsonObject } from "../core/json.ts";
import type { DecideOptions, Gate } from "./gate.ts";
import type { ClientMessage, ToolCall } from "./message.ts";
import { callReply, notStartedReply, withheldReply } from "./reply.ts";
import { NOT_FORWARDED, type Run } from "./runs.ts";

/** A call that waits for its decision. */
export interface Waiting {
  readonly call: ToolCall;
  /** Null: it is not asked about, because another request in flight has its id. */
  readonly options: DecideOptions | null;
}

/** The run of each call that is forwarded. */
export type RunOf = ReadonlyMap<ToolCall, Run>;

/** What became of a frame's calls. */
export type Admission =
  | { readonly kind: "forwarded" }
  | { readonly kind: "cancelled" }
  | { readonly kind: "refused"; readonly replyTo: (message: ClientMessage) => JsonObject | null };

/**
 * Decides about the calls of one frame, starts them, and has the frame forwarded: all of it or nothing.
 *
 * INVARIANT: `forward` is called here alone, when each call is allowed and started and none was cancelled. It has to take note of the calls
 * before it first waits, so that a later cancellation finds them.
 */
export async function admit(
  gate: Pick<Gate, "decide" | "start">,
  waiting: readonly Waiting[],
  forward: (runs: RunOf) => Promise<void>,
): Promise<Admission> {
  const isCancelled = (): boolean => waiting.some(({ options }) => options?.signal.aborted);
  const verdicts = await Promise.all(waiting.map(async ({ call, options }) => options && gate.decide(call, options)));
  if (isCancelled()) return { kind: "cancelled" };
  const allowed = verdicts.filter((verdict) => verdict !== null && isAllow(verdict.decision));
  if (allowed.length < waiting.length)
    return refused(waiting, (call, index) => callReply(call, verdicts[index] ?? null));

  const starts = await Promise.all(
    waiting.map(({ call }, index) => gate.start(call, allowed[index] as NonNullable<(typeof allowed)[number]>)),
  );
  const runs = new Map<ToolCall, Run>();
  for (const [index, { call }] of waiting.entries()) {
    const start = starts[index];
    if (start?.state === "started") runs.set(call, start.run);
  }
  const isWhole = runs.size === waiting.length;
  if (isWhole && !isCancelled()) {
    await forward(runs);
    return { kind: "forwarded" };
  }
  for (const run of runs.values()) run.end(NOT_FORWARDED);
  if (isWhole) return { kind: "cancelled" };
  return refused(waiting, (call, index) => {
    const start = starts[index];
    return start === undefined || start.state === "started" ? withheldReply(call) : notStartedReply(call, start);
  });
}

function refused(
  waiting: readonly Waiting[],
  replyToCall: (call: ToolCall, index: number) => JsonObject | null,
): Admission {
  const indexOf = (message: ClientMessage): number => waiting.findIndex(({ call }) => call === message);
  const replyTo = (message: ClientMessage): JsonObject | null =>
    message.kind === "call" ? replyToCall(message, indexOf(message)) : withheldReply(message);
  return { kind: "refused", replyTo };
}
