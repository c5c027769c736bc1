import type { CallStart, NotStarted } from "../../../src/mcp/gate.ts";
import type { End, Run } from "../../../src/mcp/runs.ts";

/** How each call ended, by its tool, in the order in which that was said. */
export type EndsSeen = [string, End][];

/** A run whose end is noted. */
export function runInto(ends: EndsSeen, tool: string): Run {
  let isOver = false;
  return {
    get isOver() {
      return isOver;
    },
    end: (end) => {
      if (!isOver) ends.push([tool, end]);
      isOver = true;
    },
  };
}

/** Starts every call, and notes how it ends. */
export function startInto(ends: EndsSeen): (call: { readonly tool: string }) => Promise<CallStart> {
  return async ({ tool }) => ({ state: "started", run: runInto(ends, tool) });
}

/** What a call gets whose decision cannot be started. */
export const NOT_STARTED: NotStarted = {
  state: "refused",
  source: "guard",
  decisionId: "d1",
  reason: "SERVICE_UNAVAILABLE",
  message: "The service is down.",
  refusal: null,
};
