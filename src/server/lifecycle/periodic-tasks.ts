/** Work that repeats. A task that fails is reported and runs again at its next interval; it never runs twice at once. */
export class PeriodicTasks {
  readonly #onError: (name: string, error: unknown) => void;
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(onError: (name: string, error: unknown) => void) {
    this.#onError = onError;
  }

  every(milliseconds: number, name: string, work: () => Promise<unknown>): void {
    let busy = false;
    const turn = async (): Promise<void> => {
      if (busy) return;
      busy = true;
      try {
        await work();
      } catch (error) {
        this.#onError(name, error);
      } finally {
        busy = false;
      }
    };
    this.#timers.push(setInterval(() => void turn(), milliseconds).unref());
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }
}
