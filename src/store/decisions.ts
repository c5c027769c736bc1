import type { DecisionSummary } from "../admin/decision-filter.ts";
import { DECISION_COLUMNS, type DecisionRow } from "../audit/row/record.ts";
import { type Database, microsOf } from "./database.ts";
import { SUMMARY_COLUMNS, summaryOf } from "./decision-search.ts";

/** A row of the trail as it is stored, with what was kept of its payload. */
export interface StoredDecision {
  readonly row: DecisionRow;
  readonly storedHash: Uint8Array;
  /** Null if none was recorded, or it has been erased. */
  readonly payload: { readonly salt: Uint8Array; readonly canonical: string } | null;
}

/** Reads of the trail. */
export class SqlDecisionReader {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async find(decisionId: string): Promise<StoredDecision | null> {
    const [found] = await this.#database.query(FIND, [decisionId]);
    return found === undefined ? null : storedOf(found);
  }

  /** The decision that the given one is linked to, and those that are linked to it, oldest first. */
  async linked(decisionId: string, linkedTo: string | null): Promise<DecisionSummary[]> {
    const before = linkedTo === null ? [] : await this.#database.query(SUMMARY_OF, [linkedTo]);
    const after = await this.#database.query(LINKED_TO, [decisionId]);
    return [...before, ...after].map(summaryOf);
  }
}

const COLUMNS = DECISION_COLUMNS.map(({ name, kind }) =>
  kind === "micros" ? `${microsOf(`d.${name}`)} AS ${name}` : `d.${name}`,
);

const FIND = `
SELECT ${COLUMNS.join(", ")}, d.hash, p.salt, p.canonical
FROM audit_decisions d LEFT JOIN audit_payloads p ON p.decision_id = d.decision_id AND p.recorded_at = d.recorded_at
WHERE d.decision_id = $1::text::uuid`;

/** Two statements: each has an index of its own. */
const SUMMARY_OF = `SELECT ${SUMMARY_COLUMNS} FROM audit_decisions d WHERE d.decision_id = $1::text::uuid`;
const LINKED_TO = `
SELECT ${SUMMARY_COLUMNS} FROM audit_decisions d
WHERE d.linked_decision_id = $1::text::uuid ORDER BY d.recorded_at, d.decision_id LIMIT 100`;

function storedOf(found: Record<string, unknown>): StoredDecision {
  const columns = DECISION_COLUMNS.map(({ name, field, kind }) => {
    const value = found[name];
    return [field, value !== null && (kind === "micros" || kind === "int") ? Number(value) : value];
  });
  return {
    row: Object.fromEntries(columns) as DecisionRow,
    storedHash: found["hash"] as Uint8Array,
    payload:
      found["salt"] === null ? null : { salt: found["salt"] as Uint8Array, canonical: found["canonical"] as string },
  };
}
