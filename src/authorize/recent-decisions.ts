import type { Micros } from "../core/clock.ts";
import type { DecisionRow } from "../audit/row/record.ts";
import type { StartableDecision } from "../execution/startable.ts";

/**
 * What this process has just allowed, so that a start which follows at once need not read it again: the newest `limit` of them. A row
 * never changes. What may change, its claim and what guards have started, is judged by the statement that records the start.
 */
export class RecentDecisions {
  readonly #byId = new Map<string, Recent>();
  readonly #limit: number;

  constructor(limit = 4_096) {
    this.#limit = limit;
  }

  /** @param row of a decision that is committed and holds its claim @param expiresAt when the claim expires */
  note(row: DecisionRow, expiresAt: Micros): void {
    this.#byId.set(row.decisionId, { row, expiresAt });
    if (this.#byId.size <= this.#limit) return;
    const oldest = this.#byId.keys().next();
    if (oldest.done !== true) this.#byId.delete(oldest.value);
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
