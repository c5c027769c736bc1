import type { Clock } from "@datacrawl/core/clock";

export type Stop = "deadline" | "cancelled";

/**
 * When a call must end: at its deadline, or when its caller cancels. Keeps the process alive until it is disposed of, for
 * somebody awaits the verdict.
 */
export class Limit implements Disposable {
  /** On the monotonic clock, in milliseconds. */
  readonly deadlineAt: number;
  readonly stopped: Promise<Stop>;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  #stop: (stop: Stop) => void = () => {};
  readonly #timer: NodeJS.Timeout;
  readonly #cancel = (): void => this.#stop("cancelled");

  /** @param ref false for what nobody awaits: the process may end meanwhile */
  constructor(clock: Clock, deadlineAt: number, signal: AbortSignal | undefined, { ref } = { ref: true }) {
    this.#clock = clock;
    this.deadlineAt = deadlineAt;
    this.#signal = signal;
    this.stopped = new Promise((resolve) => (this.#stop = resolve));
    this.#timer = setTimeout(() => this.#stop("deadline"), Math.max(0, deadlineAt - clock.monotonic()));
    if (!ref) this.#timer.unref();
    if (signal?.aborted) this.#cancel();
    else signal?.addEventListener("abort", this.#cancel, { once: true });
  }

  get leftMs(): number {
    return this.deadlineAt - this.#clock.monotonic();
  }

  /**
   * Late is late, by the clock and not by the timer: a process that was busy may see a result that came too late before its
   * timer fires.
   */
  get passed(): boolean {
    return this.#clock.monotonic() > this.deadlineAt;
  }

  /** Resolves with `work`'s result, or with why the call must end before there is one. */
  within<T>(work: Promise<T>): Promise<{ readonly value: T } | { readonly stop: Stop }> {
    return Promise.race([work.then((value) => ({ value })), this.stopped.then((stop) => ({ stop }))]);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#cancel);
  }
}
