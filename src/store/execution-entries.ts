import type { Execution, ExecutionEnd } from "../execution/execution.ts";
import type { HashedEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";

/**
 * A start on its way into the trail: committed together with its event, if nobody has started the decision before. Its execution has the
 * event's id, decision, agent and time, unless a guard has uploaded it.
 */
export interface StartEntry {
  readonly execution: Omit<Execution, "end">;
  /** When the decision was recorded. */
  readonly recordedAt: Micros;
  readonly event: HashedEvent;
}

/** An outcome on its way into the trail: committed together with its event, if the execution has none yet. */
export interface EndEntry {
  readonly execution: Pick<Execution, "decisionId" | "agentId">;
  readonly end: ExecutionEnd;
  readonly event: HashedEvent;
}
