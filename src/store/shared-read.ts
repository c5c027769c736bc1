/** Statements under way at once, as many as a writer has. */
const IN_FLIGHT = 2;
/** Keys in one statement. */
const BATCH = 256;

/**
 * Rows by their ids, with a statement for many: the ids that are asked for while statements are under way share the next one. There
 * are no timers; an idle reader asks at once.
 *
 * INVARIANT: a row is read after it was asked for.
 */
export class SharedRead<Row> {
  readonly #read: (ids: readonly string[]) => Promise<ReadonlyMap<string, Row>>;
  #waiting = new Map<string, PromiseWithResolvers<Row | null>>();
  #inFlight = 0;

  /** @param read resolves with the rows that there are, by their ids */
  constructor(read: (ids: readonly string[]) => Promise<ReadonlyMap<string, Row>>) {
    this.#read = read;
  }

  /** Null if there is no such row. @throws what `read` throws */
  find(id: string): Promise<Row | null> {
    // What is asked for in one tick goes out together.
    if (this.#waiting.size === 0) queueMicrotask(() => this.#flush());
    const asked = this.#waiting.get(id) ?? Promise.withResolvers<Row | null>();
    this.#waiting.set(id, asked);
    return asked.promise;
  }

  #flush(): void {
    while (this.#inFlight < IN_FLIGHT && this.#waiting.size > 0) {
      const batch = new Map([...this.#waiting].slice(0, BATCH));
      for (const id of batch.keys()) this.#waiting.delete(id);
      this.#inFlight++;
      void this.#answer(batch).finally(() => {
        this.#inFlight--;
        this.#flush();
      });
    }
  }

  async #answer(batch: ReadonlyMap<string, PromiseWithResolvers<Row | null>>): Promise<void> {
    try {
      const rows = await this.#read([...batch.keys()]);
      for (const [id, { resolve }] of batch) resolve(rows.get(id) ?? null);
    } catch (error) {
      for (const { reject } of batch.values()) reject(error);
    }
  }
}
