import { failpoint } from "../core/failpoint.ts";

export type Step = "authenticate" | "parse" | "replay" | "evaluate" | "record" | "remember";

export interface StepObserver {
  step(step: Step, milliseconds: number): void;
}

/** The step that ends at each mark. */
const STEP_BEFORE = {
  authenticated: "authenticate",
  parsed: "parse",
  "looked-up": "replay",
  evaluated: "evaluate",
  recorded: "record",
  remembered: "remember",
} as const satisfies Record<string, Step>;

/** How far one request has come: measures its steps, and gives crash tests a place after each. */
export class Progress {
  readonly #monotonic: () => number;
  readonly #observer: StepObserver;
  #last: number;

  constructor(startedAt: number, monotonic: () => number, observer: StepObserver) {
    this.#monotonic = monotonic;
    this.#observer = observer;
    this.#last = startedAt;
  }

  mark(point: keyof typeof STEP_BEFORE): void {
    const now = this.#monotonic();
    this.#observer.step(STEP_BEFORE[point], now - this.#last);
    this.#last = now;
    failpoint(point);
  }
}
