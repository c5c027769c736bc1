/** Keys in one statement. */
const BATCH = 256;

/**
 * Rows by their ids, with a statement for many: the ids that are asked for while one is under way share the next. There are no
 * timers; an idle reader asks at the end of the event loop's turn. One statement at a time: a read is soon over, and two would each
 * carry half of the ids.
 *
 * INVARIANT: a row is read after it was asked for.
 */
export class SharedRead<Row> {
  readonly #read: (ids: readonly string[]) => Promise<ReadonlyMap<string, Row>>;
  #waiting = new Map<string, PromiseWithResolvers<Row | null>>();
  #isReading = false;

  /** @param read resolves with the rows that there are, by their ids */
  constructor(read: (ids: readonly string[]) => Promise<ReadonlyMap<string, Row>>) {
    this.#read = read;
  }

  /** Null if there is no such row. @throws what `read` throws */
  find(id: string): Promise<Row | null> {
    // What is asked for in one turn goes out together.
    if (this.#waiting.size === 0) setImmediate(() => this.#flush());
    const asked = this.#waiting.get(id) ?? Promise.withResolvers<Row | null>();
    this.#waiting.set(id, asked);
    return asked.promise;
  }

  #flush(): void {
    if (this.#isReading || this.#waiting.size === 0) return;
    const batch = new Map([...this.#waiting].slice(0, BATCH));
    for (const id of batch.keys()) this.#waiting.delete(id);
    this.#isReading = true;
    void this.#answer(batch).finally(() => {
      this.#isReading = false;
      this.#flush();
    });
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
