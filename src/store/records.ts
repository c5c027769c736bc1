import { DECISION_COLUMNS } from "../audit/record.ts";
import { CommitUnknown, type Entry, PoisonedBatch, type RecordStore, type Written } from "../audit/writer.ts";
import type { Reason } from "../decision.ts";
import type { Claim, Ledger, Variant } from "../idempotency/ledger.ts";
import { arrayLiteral, type Database, microsOf, SqlError, timestampOf } from "./database.ts";
import { bytea, COLUMN_VALUES, decisionInput, decisionJson } from "./decision-input.ts";

const CLAIM_LIFETIME = "interval '24 hours'";
/** How often a batch that lost a deadlock is tried in all. */
const DEADLOCK_TRIES = 4;

/** Decisions and the claims that they make, in one statement; the same over Postgres and the embedded database. */
export class SqlRecordStore implements RecordStore, Ledger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async recordBatch(entries: readonly Entry[]): Promise<ReadonlyMap<string, Written>> {
    const params = [JSON.stringify(entries.map(entryJson))];
    for (let attempt = 1; ; attempt++) {
      try {
        const [row] = await this.#database.query<RecordedRow>(RECORD, params, { name: "record" });
        return writtenOf(entries, row);
      } catch (error) {
        if (!(error instanceof SqlError)) throw error;
        if (error.sqlState === "40P01" && attempt < DEADLOCK_TRIES) continue;
        // Data exceptions and integrity violations: some row is at fault, not the store.
        if (/^2[23]/.test(error.sqlState ?? "")) throw new PoisonedBatch(error.message, { cause: error });
        if (error.outcome === "rolled_back") throw error;
        return await this.#readBack(entries, error);
      }
    }
  }

  async findClaim(agentId: string, idempotencyKey: string, variant: Variant): Promise<Claim | null> {
    const [row] = await this.#database.query<ClaimRow>(FIND_CLAIM, [agentId, idempotencyKey, variant], {
      name: "find_claim",
    });
    return row === undefined ? null : claimOf(row);
  }

  /** Removes claims that expired, some thousand at a time; those that a batch is renewing are left alone. */
  async purgeExpiredClaims(): Promise<number> {
    const rows = await this.#database.query(PURGE_CLAIMS);
    return rows.length;
  }

  /**
   * The connection was lost in mid-statement. The batch is atomic, so one id found means that all were written that won
   * their claims; none found means nothing, as the server may still be at it.
   */
  async #readBack(entries: readonly Entry[], cause: SqlError): Promise<ReadonlyMap<string, Written>> {
    const ids = arrayLiteral(entries.map(({ row }) => row.decisionId));
    const since = Math.min(...entries.map(({ row }) => row.recordedAt));
    const rows = await this.#database
      .query<{ decision_id: string }>(READ_BACK, [ids, String(since)])
      .catch(() => [] as { decision_id: string }[]);
    if (rows.length === 0) throw new CommitUnknown(cause.message, { cause });
    return new Map(rows.map((row) => [row.decision_id, { claimExpiresAt: null }]));
  }
}

interface RecordedRow {
  readonly decision_ids: string | null;
  readonly claims_expire_at: string;
}

interface ClaimRow {
  readonly decision_id: string;
  readonly reason: string;
  readonly message: string;
  readonly rule_id: string | null;
  readonly policy_version: string | null;
  readonly decided_at: string;
  readonly expires_at: string;
  readonly request_digest: Uint8Array;
}

// INVARIANT: a row that makes a claim is written if and only if this same statement made the claim.
const RECORD = `
WITH input AS (
  ${decisionInput([
    { name: "variant", type: "bytea" },
    { name: "salt", type: "bytea" },
    { name: "canonical", type: "text" },
  ])}
), claimed AS (
  INSERT INTO idempotency_claims AS held (agent_id, idempotency_key, variant, request_digest, decision_id, recorded_at, expires_at)
  SELECT agent_id, idempotency_key, variant, request_digest, decision_id, ${timestampOf("recorded_at")}, now() + ${CLAIM_LIFETIME}
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
  INSERT INTO audit_decisions (${DECISION_COLUMNS.map(({ name }) => name).join(", ")}, hash)
  SELECT ${COLUMN_VALUES}, hash FROM winners
  RETURNING decision_id
), kept AS (
  INSERT INTO audit_payloads (decision_id, recorded_at, salt, canonical)
  SELECT decision_id, ${timestampOf("recorded_at")}, salt, canonical FROM winners WHERE salt IS NOT NULL
)
SELECT string_agg(decision_id::text, ',') AS decision_ids, ${microsOf(`(now() + ${CLAIM_LIFETIME})`)} AS claims_expire_at
FROM recorded`;

const FIND_CLAIM = `
SELECT d.decision_id, d.reason, d.message, d.rule_id, d.policy_version, c.request_digest,
  ${microsOf("d.decided_at")} AS decided_at, ${microsOf("c.expires_at")} AS expires_at
FROM idempotency_claims c JOIN audit_decisions d ON d.decision_id = c.decision_id AND d.recorded_at = c.recorded_at
WHERE c.agent_id = $1 AND c.idempotency_key = $2 AND c.variant = $3 AND c.expires_at > now()`;

const READ_BACK = `
SELECT decision_id FROM audit_decisions
WHERE decision_id = ANY ($1::text::uuid[]) AND recorded_at >= ${timestampOf("$2::bigint")}`;

const PURGE_CLAIMS = `
DELETE FROM idempotency_claims WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency_claims WHERE expires_at < now() - interval '1 minute' LIMIT 5000 FOR UPDATE SKIP LOCKED))
RETURNING 1`;

function entryJson({ row, hash, claim, payload }: Entry): object {
  return {
    ...decisionJson(row, hash),
    variant: bytea(claim?.variant ?? null),
    salt: bytea(payload?.salt ?? null),
    canonical: payload?.canonical ?? null,
  };
}

function writtenOf(entries: readonly Entry[], row: RecordedRow | undefined): ReadonlyMap<string, Written> {
  const ids = new Set(row?.decision_ids?.split(","));
  const expiresAt = Number(row?.claims_expire_at);
  const written = entries.filter((entry) => ids.has(entry.row.decisionId));
  return new Map(
    written.map((entry) => [entry.row.decisionId, { claimExpiresAt: entry.claim === null ? null : expiresAt }]),
  );
}

function claimOf(row: ClaimRow): Claim {
  return {
    decisionId: row.decision_id,
    reason: row.reason as Reason,
    message: row.message,
    ruleId: row.rule_id,
    policyVersion: row.policy_version ?? "",
    decidedAt: Number(row.decided_at),
    expiresAt: Number(row.expires_at),
    requestDigest: row.request_digest,
  };
}
