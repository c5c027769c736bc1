import { sql } from "kysely";
import { DECISION_COLUMNS_V2, type DecisionRow, type StoredDecision } from "../audit/row/record.ts";
import { Repository } from "./repository.ts";
import type { DecisionSummary } from "../audit/row/decision-filter.ts";

/** Reads of the trail. */
export class SqlDecisionReader extends Repository {
  async find(decisionId: string): Promise<StoredDecision | null> {
    const [found] = await this.db
      .selectFrom("audit_decisions as d")
      .leftJoin("audit_payloads as p", (join) =>
        join.onRef("p.decision_id", "=", "d.decision_id").onRef("p.recorded_at", "=", "d.recorded_at"),
      )
      .select([...ROW, "d.hash as storedHash", "p.salt", "p.canonical"])
      .where("d.decision_id", "=", decisionId)
      .execute();
    if (found === undefined) return null;
    const { storedHash, salt, canonical, ...row } = found;
    return {
      row: row as DecisionRow,
      storedHash,
      payload: salt === null || canonical === null ? null : { salt, canonical },
    };
  }

  /** The decision that the given one is linked to, and those that are linked to it, oldest first. */
  async linked(decisionId: string, linkedTo: string | null): Promise<DecisionSummary[]> {
    // Two statements: each has an index of its own.
    const summaries = this.db.selectFrom("audit_decisions as d").select(SUMMARY_COLUMNS);
    const before = linkedTo === null ? [] : await summaries.where("d.decision_id", "=", linkedTo).execute();
    const after = await summaries
      .where("d.linked_decision_id", "=", decisionId)
      .orderBy("d.recorded_at")
      .orderBy("d.decision_id")
      .limit(100)
      .execute();
    return [...before, ...after];
  }
}

/** The columns of a {@link DecisionSummary}, of `audit_decisions as d`. */
export const SUMMARY_COLUMNS = [
  "d.decision_id as decisionId",
  "d.recorded_at as recordedAt",
  "d.source",
  "d.agent_id as agentId",
  "d.tool",
  "d.idempotency_key as idempotencyKey",
  "d.decision",
  "d.reason",
  "d.message",
  "d.rule_id as ruleId",
  "d.policy_version as policyVersion",
  "d.linked_decision_id as linkedDecisionId",
  "d.review_id as reviewId",
  "d.grant_id as grantId",
  "d.principal",
  "d.session_id as sessionId",
] as const;

const ROW = DECISION_COLUMNS_V2.map(({ name, field }) => sql.ref(`d.${name}`).as(field));
