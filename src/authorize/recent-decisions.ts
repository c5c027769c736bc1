import type { Micros } from "../core/clock.ts";
import { NewestMap } from "../core/newest-map.ts";
import type { DecisionRow } from "../audit/row/record.ts";
import type { StartableDecision } from "../execution/startable.ts";

/**
 * What this process has just allowed, at most `limit`, so that a start which follows soon need not read it again. A row never changes.
 * What may change, its claim and what guards have started, is judged by the statement that records the start.
 */
export class RecentDecisions {
  readonly #byId: NewestMap<string, Recent>;

  constructor(limit = 2_048) {
    this.#byId = new NewestMap(limit);
  }

  /** @param row of a decision that is committed and holds its claim @param expiresAt when the claim expires */
  note(row: DecisionRow, expiresAt: Micros): void {
    this.#byId.set(row.decisionId, { row, expiresAt });
  }

  find(decisionId: string): StartableDecision | null {
    const recent = this.#byId.get(decisionId);
    if (recent === undefined) return null;
    const { row, expiresAt } = recent;
    return { ...row, policyVersion: row.policyVersion ?? "", expiresAt, bypassedDecisionId: null };
  }
}

interface Recent {
  readonly row: DecisionRow;
  readonly expiresAt: Micros;
}
