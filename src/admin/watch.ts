import { isDeepStrictEqual } from "node:util";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import { type Batch, type DecisionFeed, LATEST_COMMIT } from "./decision-feed.ts";
import { checkFilter, matcher } from "./decision-filter.ts";
import type { DecisionSearch } from "./decision-search.ts";
import type { Overview, OverviewReader } from "./overview.ts";
import type { PageTokens } from "./page-tokens.ts";
import type { Position } from "../audit/row/position.ts";
import type { DecisionFilter, DecisionSummary } from "../audit/row/decision-filter.ts";

export interface WatchPorts {
  readonly feed: DecisionFeed;
  readonly search: DecisionSearch;
  readonly overviews: OverviewReader;
  readonly tokens: PageTokens;
  readonly now: () => Micros;
}

export interface WatchRequest {
  readonly overview: boolean;
  /** Null for no decisions. */
  readonly filter: DecisionFilter | null;
  /** Empty to begin now. */
  readonly resumeToken: string;
}

export interface WatchMessage extends Batch {
  readonly at: Micros;
  /** Empty where no decisions are watched. */
  readonly resumeToken: string;
  /** Null if it has not changed, or was not asked for. */
  readonly overview: Overview | null;
}

const HEARTBEAT_MS = 5000;
const OVERVIEW_MS = 3000;
/** What waits for a slow reader, and what is sent of the time before a watch was resumed. */
const MAX_WAITING = 2000;
const MAX_BACKLOG = 5000;
/** How old a token may be. */
const MAX_ABSENCE: Micros = 60 * 60 * 1_000_000;

/**
 * Follows new decisions and the overview until `signal` aborts. The first message comes at once.
 *
 * @throws Fault FIELD_INVALID, STORE_UNAVAILABLE
 */
export async function* watch(
  ports: WatchPorts,
  { overview, filter: given, resumeToken }: WatchRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchMessage, void, undefined> {
  const filter = given === null ? null : checkFilter(given);
  const scope = `watch ${JSON.stringify(filter)}`;
  const resumed = ports.tokens.open(resumeToken, scope, "resume_token") as Position | null;
  const mailbox = new Mailbox(filter === null ? () => false : matcher(filter));
  const subscriber = (batch: Batch): void => mailbox.put(batch);
  if (filter !== null) await ports.feed.subscribe(subscriber).catch(unavailable);
  try {
    // After the subscription: what comes in between is in both, and is sent once.
    const missed = filter === null || resumed === null ? NONE : await backlog(ports, filter, resumed.at);
    const sent = new Set(missed.decisions.map(({ decisionId }) => decisionId));
    const changed = changesOf(ports.overviews);
    for (let batch = missed; ; ) {
      const token = ports.tokens.next(filter && ports.feed.position, scope);
      yield { ...batch, at: ports.now(), resumeToken: token, overview: overview ? await changed() : null };
      const { decisions, gap } = await mailbox.take(signal, overview ? OVERVIEW_MS : HEARTBEAT_MS);
      if (signal.aborted) return;
      batch = { decisions: decisions.filter(({ decisionId }) => !sent.has(decisionId)), gap };
    }
  } finally {
    ports.feed.unsubscribe(subscriber);
  }
}

const NONE: Batch = { decisions: [], gap: false };

/** What came since `since`, oldest first; and what may have been committed late before. */
async function backlog({ search, now }: WatchPorts, filter: DecisionFilter, since: Micros): Promise<Batch> {
  const from = Math.max(since, now() - MAX_ABSENCE) - LATEST_COMMIT;
  const bounded = { ...filter, from: Math.max(from, filter.from ?? from) };
  const found: DecisionSummary[] = [];
  let pageToken = "";
  do {
    const page = await search.list({ filter: bounded, limit: 1000, pageToken });
    found.push(...page.decisions);
    pageToken = page.timeWasUp ? "" : page.nextPageToken;
    if (page.timeWasUp || found.length >= MAX_BACKLOG) return { decisions: found.toReversed(), gap: true };
  } while (pageToken !== "");
  return { decisions: found.toReversed(), gap: since < now() - MAX_ABSENCE };
}

/** The overview each time that it is another than the last time; its own time is no change. */
function changesOf(overviews: OverviewReader): () => Promise<Overview | null> {
  let last: Overview | null = null;
  return async () => {
    const overview = await overviews.read().catch(unavailable);
    const isSame = last !== null && isDeepStrictEqual({ ...last, at: 0 }, { ...overview, at: 0 });
    last = overview;
    return isSame ? null : overview;
  };
}

function unavailable(cause: unknown): never {
  throw new Fault("STORE_UNAVAILABLE", "The trail could not be read.", { cause, retryAfterMs: 1000 });
}

/** Where a watch finds what came while it was busy. Bounded: what finds no room is a gap. */
class Mailbox {
  readonly #matches: (decision: DecisionSummary) => boolean;
  #waiting: DecisionSummary[] = [];
  #gap = false;
  #wake: () => void = () => undefined;

  constructor(matches: (decision: DecisionSummary) => boolean) {
    this.#matches = matches;
  }

  put({ decisions, gap }: Batch): void {
    const matching = decisions.filter(this.#matches);
    const room = MAX_WAITING - this.#waiting.length;
    this.#waiting.push(...matching.slice(0, room));
    this.#gap ||= gap || matching.length > room;
    if (this.#gap || matching.length > 0) this.#wake();
  }

  /** What waits, or what comes within `milliseconds`. */
  async take(signal: AbortSignal, milliseconds: number): Promise<Batch> {
    if (this.#waiting.length === 0 && !this.#gap && !signal.aborted) await this.#something(signal, milliseconds);
    const batch = { decisions: this.#waiting, gap: this.#gap };
    this.#waiting = [];
    this.#gap = false;
    return batch;
  }

  async #something(signal: AbortSignal, milliseconds: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds);
    const wake = (): void => resolve();
    signal.addEventListener("abort", wake);
    this.#wake = wake;
    await promise;
    clearTimeout(timer);
    signal.removeEventListener("abort", wake);
  }
}
