import { type Expression, type ExpressionBuilder, type SqlBool, sql } from "kysely";
import type { Micros } from "../core/clock.ts";
import { arrayLiteral, at, prepared } from "./dialect/statements.ts";
import { SUMMARY_COLUMNS } from "./decisions.ts";
import { Repository } from "./repository.ts";
import type { Schema } from "./schema.ts";
import type { Position } from "../audit/row/position.ts";
import type { DecisionFilter, DecisionSummary } from "../audit/row/decision-filter.ts";

/** Reads of many rows of the trail, each bounded. */
export class SqlDecisionSearch extends Repository {
  /** When the `rows`th row before `before` was recorded, of those since `from`; null if there are not so many. */
  async timeOfRow(before: Position, from: Micros | null, rows: number): Promise<Micros | null> {
    const [row] = await this.db
      .selectFrom("audit_decisions as d")
      .select("d.recorded_at as at")
      .where((eb) =>
        eb.and([...comesBefore(eb, before), ...(from === null ? [] : [eb("d.recorded_at", ">=", at(from))])]),
      )
      .orderBy("d.recorded_at", "desc")
      .offset(rows - 1)
      .limit(1)
      .execute();
    return row?.at ?? null;
  }

  /** Decisions that match and come before `before`: newest first, at most `limit`. */
  async search(filter: DecisionFilter, before: Position, limit: number): Promise<DecisionSummary[]> {
    return await this.db
      .selectFrom("audit_decisions as d")
      .select(SUMMARY_COLUMNS)
      .where((eb) => eb.and([...comesBefore(eb, before), ...matches(eb, filter)]))
      .orderBy("d.recorded_at", "desc")
      .orderBy("d.decision_id", "desc")
      .limit(limit)
      .execute();
  }

  /** Decisions after `after` and before `to`: oldest first, at most `limit`. */
  async between(after: Position, to: Micros, limit: number): Promise<DecisionSummary[]> {
    return await BETWEEN.execute(this.db, { after, to, limit });
  }

  /** How many were recorded from `from` on and before `to`. */
  async count(from: Micros, to: Micros): Promise<number> {
    const [row] = await COUNT.execute(this.db, { from, to });
    return row?.n ?? 0;
  }
}

const BETWEEN = prepared(({ after, to, limit }: { after: Position; to: Micros; limit: number }, db) =>
  db
    .selectFrom("audit_decisions as d")
    .select(SUMMARY_COLUMNS)
    .where("d.recorded_at", ">=", at(after.at))
    .where("d.recorded_at", "<", at(to))
    .where((eb) => eb.or([eb("d.recorded_at", ">", at(after.at)), eb("d.decision_id", ">", after.id)]))
    .orderBy("d.recorded_at")
    .orderBy("d.decision_id")
    .limit(limit),
);

const COUNT = prepared(({ from, to }: { from: Micros; to: Micros }, db) =>
  db
    .selectFrom("audit_decisions")
    .select((eb) => eb.fn.countAll<number>().as("n"))
    .where("recorded_at", ">=", at(from))
    .where("recorded_at", "<", at(to)),
);

type Builder = ExpressionBuilder<{ d: Schema["audit_decisions"] }, "d">;
type Conditions = Expression<SqlBool>[];

/** Written so that the index over time alone serves it. */
function comesBefore(eb: Builder, { at: time, id }: Position): Conditions {
  return [
    eb("d.recorded_at", "<=", at(time)),
    eb.or([eb("d.recorded_at", "<", at(time)), eb("d.decision_id", "<", id)]),
  ];
}

/** What is not asked for is left out, and costs the planner nothing. */
function matches(eb: Builder, filter: DecisionFilter): Conditions {
  const { agentId, tool, decisions, reasons, source, from, to, text, grantId } = filter;
  const { principal, sessionId, unresolvedExecution } = filter;
  const conditions: Conditions = [];
  if (agentId !== null) conditions.push(eb("d.agent_id", "=", agentId));
  if (tool?.endsWith(".*")) conditions.push(eb.fn("starts_with", ["d.tool", eb.val(tool.slice(0, -1))]));
  else if (tool !== null) conditions.push(eb("d.tool", "=", tool));
  if (decisions.length > 0) conditions.push(eb("d.decision", "=", anyOf(decisions)));
  if (reasons.length > 0) conditions.push(eb("d.reason", "=", anyOf(reasons)));
  if (source !== null) conditions.push(eb("d.source", "=", source));
  if (from !== null) conditions.push(eb("d.recorded_at", ">=", at(from)));
  if (to !== null) conditions.push(eb("d.recorded_at", "<", at(to)));
  if (grantId !== null) conditions.push(eb("d.grant_id", "=", grantId));
  if (principal !== null) conditions.push(eb("d.principal", "=", principal));
  if (sessionId !== null) conditions.push(eb("d.session_id", "=", sessionId));
  if (unresolvedExecution) conditions.push(HAS_UNRESOLVED_EXECUTION);
  if (text !== null) conditions.push(eb.or(SEARCHED.map((column) => occurs(text, column))));
  return conditions;
}

const HAS_UNRESOLVED_EXECUTION = sql<boolean>`EXISTS (
  SELECT FROM execution_reports_due r WHERE r.decision_id = d.decision_id AND r.report_due_at <= now())`;

/** A list of any length is one parameter, and one shape for the planner. */
function anyOf<Value extends string>(values: readonly Value[]): Expression<Value> {
  return sql`ANY (${arrayLiteral(values)}::text::text[])`;
}

const SEARCHED = ["d.message", "d.idempotency_key", "d.rule_id"];

/** In the C collation, where lower case is of A to Z alone, whatever the database's own collation. */
function occurs(text: string, column: string): Expression<SqlBool> {
  return sql`strpos(lower(${sql.ref(column)} COLLATE "C"), ${text}::text COLLATE "C") > 0`;
}
