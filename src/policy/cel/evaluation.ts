import type { JsonMap, Outcome, Value } from "./value.ts";

/** What a condition can see. */
export interface Subject {
  readonly agentId: string;
  readonly tool: string;
  readonly payload: JsonMap;
  /** On whose behalf the agent acts; absent or null if it did not say. */
  readonly principal?: string | null;
}

/**
 * The work that one decision may cost, over all its rules together. A unit is a step of a regular expression, a turn of a
 * loop's node or some tens of compared characters: 2 to 15 ns each, so that the worst payload costs some tens of milliseconds.
 * The payload is the attacker's and the service has one thread.
 */
const WORK_PER_DECISION = 2_000_000;

/** A running macro. */
export interface Frame {
  /** The element that it looks at. */
  item: Value;
  /** What it has found so far. */
  result: Outcome;
  /** The same, where it is a list: the macro's own, to append to. */
  grown: Value[];
}

/** One decision's evaluation of conditions: what they see, what they may still spend, and the macro's variables. */
export class Evaluation {
  readonly subject: Subject;
  /** The running macros, each within the body of the one before. Used again by the next macro of the same depth. */
  readonly #frames: Frame[] = [];
  #left: number;

  constructor(subject: Subject, work: number = WORK_PER_DECISION) {
    this.subject = subject;
    this.#left = work;
  }

  /** The macro at `depth`, of which there is one at a time. */
  frame(depth: number): Frame {
    return (this.#frames[depth] ??= { item: null, result: null, grown: [] });
  }

  /**
   * Takes `units` of work; false if they are not left, and from then on.
   *
   * INVARIANT: a caller that gets false returns a Failure at once. An exhausted evaluation decides nothing more.
   */
  spend(units: number): boolean {
    this.#left -= units;
    return this.#left >= 0;
  }
}

/** A compiled expression. */
export type Run = (evaluation: Evaluation) => Outcome;

export const EXHAUSTED = "the payload asks for more work than one decision may cost";
