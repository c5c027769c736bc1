import { type Kysely, type RawBuilder, sql } from "kysely";
import { CommitUnknown } from "../audit/write/group-writer.ts";
import type { Entry, RecordStore, Written } from "../audit/write/writer.ts";
import type { Micros } from "../core/clock.ts";
import type { Claim, Ledger, Variant } from "../idempotency/ledger.ts";
import { commitBatch } from "./batch.ts";
import type { SqlError } from "./dialect/sql-error.ts";
import { arrayLiteral, at, atColumn, NOW, prepared } from "./dialect/statements.ts";
import { bytea, decisionInput, decisionJson, insertDecisions } from "./decision-input.ts";
import { Repository } from "./repository.ts";
import { OPENED, REVIEW_INPUTS, REVIEW_LIFETIME, reviewJson } from "./review-input.ts";
import type { Schema, StoredInterval } from "./schema.ts";

const CLAIM_LIFETIME: RawBuilder<StoredInterval> = sql`interval '24 hours'`;

/** Decisions and the claims that they make, in one statement; the same over Postgres and the embedded database. */
export class SqlRecordStore extends Repository implements RecordStore, Ledger {
  async recordBatch(entries: readonly Entry[]): Promise<ReadonlyMap<string, Written>> {
    // Only a batch that opens reviews pays for them.
    const opens = entries.some(({ review }) => review !== null);
    const [statement, toJson] = opens ? [RECORD_AND_REVIEW, reviewEntryJson] : [RECORD, entryJson];
    const json = JSON.stringify(entries.map(toJson));
    return await commitBatch(
      async () => writtenOf(entries, (await statement.execute(this.db, { json }))[0]),
      (cause) => this.#readBack(entries, cause),
    );
  }

  async findClaim(agentId: string, idempotencyKey: string, variant: Variant): Promise<Claim | null> {
    const [claim] = await FIND_CLAIM.execute(this.db, { agentId, idempotencyKey, variant });
    return claim === undefined ? null : claimOf(claim);
  }

  /** The agent's decision of that id with what it is about, or null if it holds no unexpired claim. */
  async findClaimOf(
    agentId: string,
    decisionId: string,
  ): Promise<(Claim & { readonly tool: string; readonly idempotencyKey: string }) | null> {
    const [claim] = await FIND_CLAIM_OF.execute(this.db, { agentId, decisionId });
    return claim === undefined ? null : claimOf(claim);
  }

  /** Removes claims that expired, some thousand at a time; those that a batch is renewing are left alone. */
  async purgeExpiredClaims(): Promise<number> {
    const { numAffectedRows } = await PURGE_CLAIMS.execute(this.db);
    return Number(numAffectedRows);
  }

  /**
   * The connection was lost in mid-statement. The batch is atomic, so one id found means that all were written that won
   * their claims; none found means nothing, as the server may still be at it.
   */
  async #readBack(entries: readonly Entry[], cause: SqlError): Promise<ReadonlyMap<string, Written>> {
    const ids = arrayLiteral(entries.map(({ row }) => row.decisionId));
    const since = Math.min(...entries.map(({ row }) => row.recordedAt));
    const rows = await READ_BACK.execute(this.db, { ids, since }).catch(() => []);
    if (rows.length === 0) throw new CommitUnknown(cause.message, { cause });
    return new Map(rows.map(({ decision_id }) => [decision_id, { claimExpiresAt: null }]));
  }
}

interface RecordedRow {
  readonly decision_ids: string | null;
  readonly claims_expire_at: Micros;
}

// INVARIANT: a row that makes a claim is written if and only if this same statement made the claim; so is the review it opens.
function recordStatement(reviews: {
  inputs: typeof REVIEW_INPUTS;
  lifetime: RawBuilder<StoredInterval>;
  opened: RawBuilder<unknown>;
}) {
  return prepared(({ json }: { json: string }) => {
    const inputs = [
      { name: "variant", type: "bytea" },
      { name: "salt", type: "bytea" },
      { name: "canonical", type: "text" },
      ...reviews.inputs,
    ];
    const recordedAt = atColumn(sql`recorded_at`);
    return sql<RecordedRow>`
WITH input AS (
  ${decisionInput(json, inputs)}
), claimed AS (
  INSERT INTO idempotency_claims AS held (agent_id, idempotency_key, variant, request_digest, decision_id, recorded_at, expires_at)
  SELECT agent_id, idempotency_key, variant, request_digest, decision_id, ${recordedAt}, now() + ${reviews.lifetime}
  FROM input WHERE variant IS NOT NULL
  -- All batches take their locks in one order, so they do not deadlock.
  ORDER BY agent_id COLLATE "C", idempotency_key COLLATE "C", variant
  ON CONFLICT (agent_id, idempotency_key, variant) DO UPDATE
  SET request_digest = EXCLUDED.request_digest, decision_id = EXCLUDED.decision_id,
      recorded_at = EXCLUDED.recorded_at, expires_at = EXCLUDED.expires_at
  WHERE held.expires_at <= now()
  RETURNING decision_id
), winners AS MATERIALIZED (
  SELECT * FROM input WHERE variant IS NULL OR decision_id IN (SELECT decision_id FROM claimed)
), recorded AS (
  ${insertDecisions(sql`FROM winners`)}
  RETURNING decision_id
), kept AS (
  INSERT INTO audit_payloads (decision_id, recorded_at, salt, canonical)
  SELECT decision_id, ${recordedAt}, salt, canonical FROM winners WHERE salt IS NOT NULL
)${reviews.opened}
SELECT string_agg(decision_id::text, ',') AS decision_ids, now() + ${CLAIM_LIFETIME} AS claims_expire_at
FROM recorded`;
  });
}

const RECORD = recordStatement({ inputs: [], lifetime: CLAIM_LIFETIME, opened: sql`` });

const RECORD_AND_REVIEW = recordStatement({
  inputs: REVIEW_INPUTS,
  // The claim outlives its review, so that a late answer never opens a second one.
  lifetime: sql`greatest(${CLAIM_LIFETIME}, coalesce(${REVIEW_LIFETIME}, interval '0'))`,
  opened: sql`, ${OPENED}`,
});

/** Unexpired claims with their decisions. */
function claims(db: Kysely<Schema>) {
  return db
    .selectFrom("idempotency_claims as c")
    .innerJoin("audit_decisions as d", (join) =>
      join.onRef("d.decision_id", "=", "c.decision_id").onRef("d.recorded_at", "=", "c.recorded_at"),
    )
    .select([
      "d.decision_id as decisionId",
      "d.reason",
      "d.message",
      "d.rule_id as ruleId",
      "d.policy_version as policyVersion",
      "d.decided_at as decidedAt",
      "c.expires_at as expiresAt",
      "c.request_digest as requestDigest",
    ])
    .where("c.expires_at", ">", NOW);
}

const FIND_CLAIM = prepared((key: { agentId: string; idempotencyKey: string; variant: Variant }, db) =>
  claims(db)
    .where("c.agent_id", "=", key.agentId)
    .where("c.idempotency_key", "=", key.idempotencyKey)
    .where("c.variant", "=", key.variant),
);

const FIND_CLAIM_OF = prepared((decision: { agentId: string; decisionId: string }, db) =>
  claims(db)
    .select(["d.tool", "d.idempotency_key as idempotencyKey"])
    // By the decision's key to the one claim that it may hold: claims have no index over decisions.
    .whereRef("c.agent_id", "=", "d.agent_id")
    .whereRef("c.idempotency_key", "=", "d.idempotency_key")
    .where("d.agent_id", "=", decision.agentId)
    .where("d.decision_id", "=", decision.decisionId),
);

const READ_BACK = prepared(({ ids, since }: { ids: string; since: Micros }, db) =>
  db
    .selectFrom("audit_decisions")
    .select("decision_id")
    .where("decision_id", "=", sql<string>`ANY (${ids}::text::uuid[])`)
    .where("recorded_at", ">=", at(since)),
);

const PURGE_CLAIMS = sql`
DELETE FROM idempotency_claims WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency_claims WHERE expires_at < now() - interval '1 minute' LIMIT 5000 FOR UPDATE SKIP LOCKED))`;

function entryJson({ row, hash, claim, payload }: Entry): object {
  return decisionJson(row, hash, {
    variant: bytea(claim?.variant ?? null),
    salt: bytea(payload?.salt ?? null),
    canonical: payload?.canonical ?? null,
  });
}

function reviewEntryJson(entry: Entry): object {
  return { ...entryJson(entry), ...reviewJson(entry) };
}

function writtenOf(entries: readonly Entry[], row: RecordedRow | undefined): ReadonlyMap<string, Written> {
  const ids = new Set(row?.decision_ids?.split(","));
  const expiresAt = row?.claims_expire_at ?? null;
  const written = entries.filter((entry) => ids.has(entry.row.decisionId));
  return new Map(
    written.map(({ row, claim, review }) => [
      row.decisionId,
      { claimExpiresAt: claim === null || review !== null ? null : expiresAt },
    ]),
  );
}

function claimOf<Row extends { policyVersion: string | null }>(row: Row): Row & { policyVersion: string } {
  return { ...row, policyVersion: row.policyVersion ?? "" };
}
