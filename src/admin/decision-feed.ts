import type { Micros } from "../core/clock.ts";
import type { Position } from "../audit/row/position.ts";
import type { DecisionSummary } from "../audit/row/decision-filter.ts";
import type { SqlDecisionSearch } from "../store/decision-search.ts";

export interface FeedPorts {
  readonly trail: SqlDecisionSearch;
  readonly now: () => Micros;
  /** Called when a read failed. The next one makes up for it. */
  readonly onError: (error: unknown) => void;
}

/** What a subscriber is given. `gap`: decisions were left out before these. */
export interface Batch {
  readonly decisions: readonly DecisionSummary[];
  readonly gap: boolean;
}

const POLL_MS = 500;
/** A commit takes a moment: what is younger than this is left to the next read. */
const SETTLE: Micros = 150_000;
/** A decision may be committed so long after the time that its row bears. */
export const LATEST_COMMIT: Micros = 60_000_000;
/** How far back each read looks for late ones, and how often one looks for all. */
const RECENT: Micros = 3_000_000;
const LOOK_BACK_EVERY = 10;
const MAX_ROWS = 2_000;

const LOWEST_ID = "00000000-0000-0000-0000-000000000000";

/**
 * Follows the trail, whichever replica writes it: one poll for all of this process' subscribers, and none without them. Rows are
 * read once, in the order of their time; those that were committed late are noticed by counting.
 */
export class DecisionFeed {
  readonly #ports: FeedPorts;
  readonly #subscribers = new Set<(batch: Batch) => void>();
  /** What subscribers have of the last minute, by id. */
  readonly #sent = new Map<string, Micros>();
  /** From when on all that has been committed is in `sent`, or has been forgotten. */
  #since: Micros = 0;
  #position: Position = { at: 0, id: LOWEST_ID };
  #timer: NodeJS.Timeout | undefined;
  #polls = 0;
  #starting: Promise<void> | null = null;

  constructor(ports: FeedPorts) {
    this.#ports = ports;
  }

  /** Up to where it has sent. */
  get position(): Position {
    return this.#position;
  }

  /** Resolves when everything that is committed from now on will be sent. */
  async subscribe(subscriber: (batch: Batch) => void): Promise<void> {
    this.#subscribers.add(subscriber);
    if (this.#timer !== undefined) return;
    this.#starting ??= this.#start().finally(() => (this.#starting = null));
    try {
      await this.#starting;
    } catch (error) {
      this.#subscribers.delete(subscriber);
      throw error;
    }
  }

  unsubscribe(subscriber: (batch: Batch) => void): void {
    this.#subscribers.delete(subscriber);
    if (this.#subscribers.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #start(): Promise<void> {
    await this.#jump();
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#turn(), POLL_MS).unref();
  }

  async #turn(): Promise<void> {
    try {
      await this.#poll();
    } catch (error) {
      this.#ports.onError(error);
    }
    if (this.#subscribers.size > 0) this.#schedule();
  }

  async #poll(): Promise<void> {
    const { trail, now } = this.#ports;
    const to = Math.max(this.#position.at, now() - SETTLE);
    const fresh = await trail.between(this.#position, to, MAX_ROWS + 1);
    if (fresh.length > MAX_ROWS) return await this.#skip();
    this.#send(fresh);
    this.#position = { at: to, id: LOWEST_ID };
    this.#polls++;
    await this.#lookBack(this.#polls % LOOK_BACK_EVERY === 0 ? LATEST_COMMIT : RECENT);
    this.#forget();
  }

  /** Sends what has been committed behind the position. */
  async #lookBack(span: Micros): Promise<void> {
    const { trail } = this.#ports;
    const [from, to] = [Math.max(this.#since, this.#position.at - span), this.#position.at];
    const known = [...this.#sent.values()].filter((at) => at >= from && at < to).length;
    if ((await trail.count(from, to)) === known) return;
    const rows = await trail.between({ at: from, id: LOWEST_ID }, to, MAX_ROWS + 1);
    if (rows.length > MAX_ROWS) return await this.#skip();
    this.#send(rows);
  }

  /** They come faster than they can be followed. */
  async #skip(): Promise<void> {
    await this.#jump();
    for (const subscriber of this.#subscribers) subscriber({ decisions: [], gap: true });
  }

  /** Goes to the end, and takes what is there as sent: as much of the last minute as can be read. */
  async #jump(): Promise<void> {
    const { trail, now } = this.#ports;
    const to = now() - SETTLE;
    for (const span of [LATEST_COMMIT, RECENT, 0]) {
      const rows = await trail.between({ at: to - span, id: LOWEST_ID }, to, MAX_ROWS + 1);
      if (rows.length > MAX_ROWS) continue;
      this.#sent.clear();
      for (const { decisionId, recordedAt } of rows) this.#sent.set(decisionId, recordedAt);
      this.#since = to - span;
      this.#position = { at: to, id: LOWEST_ID };
      return;
    }
  }

  #send(rows: readonly DecisionSummary[]): void {
    const decisions = rows.filter(({ decisionId }) => !this.#sent.has(decisionId));
    if (decisions.length === 0) return;
    for (const { decisionId, recordedAt } of decisions) this.#sent.set(decisionId, recordedAt);
    for (const subscriber of this.#subscribers) subscriber({ decisions, gap: false });
  }

  #forget(): void {
    const until = this.#position.at - LATEST_COMMIT;
    for (const [id, at] of this.#sent) if (at < until) this.#sent.delete(id);
  }
}
