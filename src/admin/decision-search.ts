import { isDeepStrictEqual } from "node:util";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import { checkFilter } from "./decision-filter.ts";
import type { PageTokens } from "./page-tokens.ts";
import type { Position } from "../audit/row/position.ts";
import { type DecisionFilter, type DecisionSummary, EVERY_DECISION } from "../audit/row/decision-filter.ts";
import type { SqlDecisionSearch } from "../store/decision-search.ts";

export interface SearchPorts {
  readonly trail: SqlDecisionSearch;
  /** Milliseconds. */
  readonly monotonic: () => number;
  readonly tokens: PageTokens;
  /** How many rows one statement may look at. The embedded store has one session, and all else waits meanwhile. */
  readonly rowsAtOnce: number;
}

export interface SearchRequest {
  readonly filter: DecisionFilter;
  readonly limit: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

export interface SearchResult {
  /** Newest first. */
  readonly decisions: readonly DecisionSummary[];
  /** Empty when all has been searched. */
  readonly nextPageToken: string;
  readonly timeWasUp: boolean;
  /** Null when all has been searched. */
  readonly searchedTo: Micros | null;
}

/** How long a page may be searched for; a statement that is under way is finished. */
const BUDGET_MS = 1500;
const FIRST_ROWS = 500;
const GROWTH = 8;

/** After every row. */
const END: Position = { at: Number.MAX_SAFE_INTEGER, id: "ffffffff-ffff-ffff-ffff-ffffffffffff" };
const LOWEST_ID = "00000000-0000-0000-0000-000000000000";

/**
 * Searches the trail backwards, stretch by stretch, so that no statement takes long whatever the filter: a filter that matches
 * nothing costs as many short reads as the time allows, and the answer says how far they came.
 */
export class DecisionSearch {
  readonly #ports: SearchPorts;

  constructor(ports: SearchPorts) {
    this.#ports = ports;
  }

  /** @throws Fault FIELD_INVALID, STORE_UNAVAILABLE */
  async list({ filter: given, limit, pageToken }: SearchRequest): Promise<SearchResult> {
    const filter = checkFilter(given);
    const { tokens } = this.#ports;
    const scope = `decisions ${JSON.stringify(filter)}`;
    const start = (tokens.open(pageToken, scope) as Position | null) ?? firstPosition(filter);
    const { found, end } = await this.#search(filter, start, limit + 1).catch((cause: unknown) => {
      throw new Fault("STORE_UNAVAILABLE", "The trail could not be read.", { cause, retryAfterMs: 1000 });
    });
    const decisions = found.slice(0, limit);
    const isFull = found.length > limit;
    const next = isFull ? positionOf(decisions.at(-1)) : end;
    return {
      decisions,
      nextPageToken: tokens.next(next, scope),
      timeWasUp: !isFull && end !== null,
      searchedTo: next?.at ?? null,
    };
  }

  /** @returns what was found, and where the search was given up; null if it came to its end, or found enough */
  async #search(
    filter: DecisionFilter,
    start: Position,
    wanted: number,
  ): Promise<{ found: DecisionSummary[]; end: Position | null }> {
    const { trail, monotonic, rowsAtOnce } = this.#ports;
    const until = monotonic() + BUDGET_MS;
    const found: DecisionSummary[] = [];
    let before = start;
    for (
      let rows = Math.min(rowsAtOnce, Math.max(FIRST_ROWS, 4 * wanted));
      ;
      rows = Math.min(rowsAtOnce, rows * GROWTH)
    ) {
      const from = hasOwnIndex(filter) ? null : await trail.timeOfRow(before, filter.from, rows);
      found.push(...(await trail.search({ ...filter, from: from ?? filter.from }, before, wanted - found.length)));
      if (from === null || found.length >= wanted) return { found, end: null };
      before = { at: from, id: LOWEST_ID };
      if (monotonic() >= until) return { found, end: before };
    }
  }
}

/**
 * Whether an index finds the matches alone, however few they are. A grant allows little. A principal or a session may have many decisions,
 * which the index gives in order; but with a further condition none of them may match.
 */
function hasOwnIndex(filter: DecisionFilter): boolean {
  if (filter.grantId !== null) return true;
  if ((filter.principal === null) === (filter.sessionId === null)) return false;
  return isDeepStrictEqual({ ...filter, principal: null, sessionId: null, from: null, to: null }, EVERY_DECISION);
}

function firstPosition({ to }: DecisionFilter): Position {
  return to === null ? END : { at: to, id: LOWEST_ID };
}

function positionOf(decision: DecisionSummary | undefined): Position | null {
  return decision === undefined ? null : { at: decision.recordedAt, id: decision.decisionId };
}
