import type { DecisionFilter, DecisionSummary } from "../admin/decision-filter.ts";
import type { Position } from "../admin/position.ts";
import { type Column, DECISION_COLUMNS, type DecisionRow } from "../audit/row/record.ts";
import type { Micros } from "../core/clock.ts";
import { arrayLiteral, type Database, microsOf, type SqlParam, timestampOf } from "./database.ts";

const SUMMARY_FIELDS: readonly (keyof DecisionSummary & keyof DecisionRow)[] = [
  "decisionId",
  "recordedAt",
  "source",
  "agentId",
  "tool",
  "idempotencyKey",
  "decision",
  "reason",
  "message",
  "ruleId",
  "policyVersion",
  "linkedDecisionId",
  "reviewId",
  "grantId",
];

const SUMMARY: readonly Column<DecisionRow>[] = SUMMARY_FIELDS.map(
  (field) => DECISION_COLUMNS.find((column) => column.field === field) as Column<DecisionRow>,
);

/** SQL for the columns of a summary, of `audit_decisions d`. */
export const SUMMARY_COLUMNS = SUMMARY.map(({ name, kind }) =>
  kind === "micros" ? `${microsOf(`d.${name}`)} AS ${name}` : `d.${name}`,
).join(", ");

const NEWEST_FIRST = "ORDER BY d.recorded_at DESC, d.decision_id DESC";

/** Reads of many rows of the trail, each bounded. */
export class SqlDecisionSearch {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** When the `rows`th row before `before` was recorded, of those since `from`; null if there are not so many. */
  async timeOfRow(before: Position, from: Micros | null, rows: number): Promise<Micros | null> {
    const where = new Conditions();
    where.before(before);
    if (from !== null) where.add((at) => `d.recorded_at >= ${timestampOf(`${at}::bigint`)}`, String(from));
    const offset = where.param(rows - 1);
    const [row] = await this.#database.query<{ at: string }>(
      `SELECT ${microsOf("d.recorded_at")} AS at FROM audit_decisions d ${where.text}
       ORDER BY d.recorded_at DESC OFFSET ${offset}::bigint LIMIT 1`,
      where.params,
    );
    return row === undefined ? null : Number(row.at);
  }

  /** Decisions that match and come before `before`: newest first, at most `limit`. */
  async search(filter: DecisionFilter, before: Position, limit: number): Promise<DecisionSummary[]> {
    const where = new Conditions();
    where.before(before);
    where.matching(filter);
    const rows = await this.#database.query(
      `SELECT ${SUMMARY_COLUMNS} FROM audit_decisions d ${where.text} ${NEWEST_FIRST} LIMIT ${where.param(limit)}::bigint`,
      where.params,
    );
    return rows.map(summaryOf);
  }

  /** Decisions after `after` and before `to`: oldest first, at most `limit`. */
  async between(after: Position, to: Micros, limit: number): Promise<DecisionSummary[]> {
    const rows = await this.#database.query(BETWEEN, [String(after.at), after.id, String(to), limit], {
      name: "decisions_between",
    });
    return rows.map(summaryOf);
  }

  /** How many were recorded from `from` on and before `to`. */
  async count(from: Micros, to: Micros): Promise<number> {
    const [row] = await this.#database.query<{ n: string }>(COUNT, [String(from), String(to)], {
      name: "count_decisions",
    });
    return Number(row?.n);
  }
}

const BETWEEN = `
SELECT ${SUMMARY_COLUMNS} FROM audit_decisions d
WHERE d.recorded_at >= ${timestampOf("$1::bigint")} AND d.recorded_at < ${timestampOf("$3::bigint")}
  AND (d.recorded_at > ${timestampOf("$1::bigint")} OR d.decision_id > $2::text::uuid)
ORDER BY d.recorded_at, d.decision_id LIMIT $4::bigint`;

const COUNT = `
SELECT count(*)::text AS n FROM audit_decisions
WHERE recorded_at >= ${timestampOf("$1::bigint")} AND recorded_at < ${timestampOf("$2::bigint")}`;

/** The conditions of one statement, each with the parameters it needs: what is not asked for costs the planner nothing. */
class Conditions {
  readonly params: SqlParam[] = [];
  readonly #conditions: string[] = [];

  get text(): string {
    return this.#conditions.length === 0 ? "" : `WHERE ${this.#conditions.join(" AND ")}`;
  }

  /** @returns how the statement names it */
  param(value: SqlParam): string {
    this.params.push(value);
    return `$${this.params.length}`;
  }

  add(condition: (...names: string[]) => string, ...values: SqlParam[]): void {
    this.#conditions.push(`(${condition(...values.map((value) => this.param(value)))})`);
  }

  /** Written so that the index over time alone serves it. */
  before({ at, id }: Position): void {
    const [time, uuid] = [timestampOf(`${this.param(String(at))}::bigint`), `${this.param(id)}::text::uuid`];
    this.#conditions.push(`d.recorded_at <= ${time}`, `(d.recorded_at < ${time} OR d.decision_id < ${uuid})`);
  }

  matching(filter: DecisionFilter): void {
    const { agentId, tool, decisions, reasons, source, from, to, text, grantId } = filter;
    if (agentId !== null) this.add((value) => `d.agent_id = ${value}::text`, agentId);
    if (tool?.endsWith(".*")) this.add((value) => `starts_with(d.tool, ${value}::text)`, tool.slice(0, -1));
    else if (tool !== null) this.add((value) => `d.tool = ${value}::text`, tool);
    if (decisions.length > 0) this.add((value) => `d.decision = ANY (${value}::text::text[])`, arrayLiteral(decisions));
    if (reasons.length > 0) this.add((value) => `d.reason = ANY (${value}::text::text[])`, arrayLiteral(reasons));
    if (source !== null) this.add((value) => `d.source = ${value}::text`, source);
    if (from !== null) this.add((value) => `d.recorded_at >= ${timestampOf(`${value}::bigint`)}`, String(from));
    if (to !== null) this.add((value) => `d.recorded_at < ${timestampOf(`${value}::bigint`)}`, String(to));
    if (grantId !== null) this.add((value) => `d.grant_id = ${value}::text::uuid`, grantId);
    if (text !== null) this.add(occurs, text);
  }
}

/** In the C collation, where lower case is of A to Z alone, whatever the database's own collation. */
function occurs(text: string): string {
  const within = (column: string): string => `strpos(lower(d.${column} COLLATE "C"), ${text}::text COLLATE "C") > 0`;
  return ["message", "idempotency_key", "rule_id"].map(within).join(" OR ");
}

export function summaryOf(row: Record<string, unknown>): DecisionSummary {
  const entries = SUMMARY.map(({ name, field, kind }) => [field, kind === "micros" ? Number(row[name]) : row[name]]);
  return Object.fromEntries(entries) as DecisionSummary;
}
