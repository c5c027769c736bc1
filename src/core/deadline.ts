import type { Clock } from "./clock.ts";

/** Why work ended before it was done. */
export type Stopped = { readonly kind: "deadline" } | { readonly kind: "cancelled" };

export interface DeadlineOptions {
  /** Aborted when the caller cancels. */
  readonly signal?: AbortSignal | undefined;
  /** False for work that nobody awaits: the process may end meanwhile. Default: true. */
  readonly awaited?: boolean;
}

/** When work must end: at a time, or when its caller cancels. Keeps the process alive until it is disposed of, if somebody awaits it. */
export class Deadline implements Disposable {
  /** On the monotonic clock, in milliseconds. */
  readonly at: number;
  readonly awaited: boolean;
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #signal: AbortSignal | undefined;
  #stopped: Stopped | null = null;
  /** Ends the races that are under way. */
  readonly #races: ((stopped: Stopped) => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #cancel = (): void => this.#stop({ kind: "cancelled" });

  constructor(clock: Pick<Clock, "monotonic">, at: number, { signal, awaited = true }: DeadlineOptions = {}) {
    this.at = at;
    this.awaited = awaited;
    this.#clock = clock;
    this.#signal = signal;
    this.#timer = setTimeout(() => this.#stop({ kind: "deadline" }), Math.max(0, at - clock.monotonic()));
    if (!awaited) this.#timer.unref();
    if (signal?.aborted) this.#cancel();
    else signal?.addEventListener("abort", this.#cancel, { once: true });
  }

  get leftMs(): number {
    return this.at - this.#clock.monotonic();
  }

  /**
   * Late is late, by the clock and not by the timer: a process that was busy may see a result that came too late before its
   * timer fires.
   */
  get passed(): boolean {
    return this.#clock.monotonic() > this.at;
  }

  /** A deadline of its own for a part of the work: at most `milliseconds` from now, and no later than this one. */
  within(milliseconds: number): Deadline {
    const at = Math.min(this.at, this.#clock.monotonic() + milliseconds);
    return new Deadline(this.#clock, at, { signal: this.#signal, awaited: this.awaited });
  }

  /** Resolves with `work`'s result, or with why it must end before there is one. */
  race<T>(work: Promise<T>): Promise<{ readonly kind: "done"; readonly value: T } | Stopped> {
    // One promise, where Promise.race makes four: each decision has a race.
    return new Promise((resolve, reject) => {
      if (this.#stopped === null) this.#races.push(resolve);
      else resolve(this.#stopped);
      work.then((value) => resolve({ kind: "done", value }), reject);
    });
  }

  #stop(stopped: Stopped): void {
    if (this.#stopped !== null) return;
    this.#stopped = stopped;
    for (const end of this.#races) end(stopped);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#cancel);
  }
}
