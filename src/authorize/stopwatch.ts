export type Step = "authenticate" | "parse" | "replay" | "evaluate" | "record" | "remember";

export interface StepObserver {
  step(step: Step, milliseconds: number): void;
}

/** Measures one request's steps, one after the other. */
export class Stopwatch {
  readonly #monotonic: () => number;
  readonly #observer: StepObserver;
  #last: number;

  constructor(startedAt: number, monotonic: () => number, observer: StepObserver) {
    this.#monotonic = monotonic;
    this.#observer = observer;
    this.#last = startedAt;
  }

  /** The step that began at the lap before has ended. */
  lap(step: Step): void {
    const now = this.#monotonic();
    this.#observer.step(step, now - this.#last);
    this.#last = now;
  }
}
