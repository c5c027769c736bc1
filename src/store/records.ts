import { DECISION_COLUMNS } from "../audit/record.ts";
import { CommitUnknown, type Entry, PoisonedBatch, type RecordStore, type Written } from "../audit/writer.ts";
import type { Reason } from "../decision.ts";
import type { Claim, Ledger, Variant } from "../idempotency/ledger.ts";
import { arrayLiteral, type Database, microsOf, SqlError, timestampOf } from "./database.ts";
import { bytea, COLUMN_VALUES, decisionInput, decisionJson } from "./decision-input.ts";
import { OPENED, REVIEW_INPUTS, REVIEW_LIFETIME, reviewJson } from "./review-input.ts";

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
    // Only a batch that opens reviews pays for them.
    const opens = entries.some(({ review }) => review !== null);
    const [statement, name, toJson] = opens
      ? ([RECORD_AND_REVIEW, "record_and_review", reviewEntryJson] as const)
      : ([RECORD, "record", entryJson] as const);
    const params = [JSON.stringify(entries.map(toJson))];
    for (let attempt = 1; ; attempt++) {
      try {
        const [row] = await this.#database.query<RecordedRow>(statement, params, { name });
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

  /** The agent's decision of that id with what it is about, or null if it holds no unexpired claim. */
  async findClaimOf(
    agentId: string,
    decisionId: string,
  ): Promise<(Claim & { readonly tool: string; readonly idempotencyKey: string }) | null> {
    const [row] = await this.#database.query<ClaimRow & { tool: string; idempotency_key: string }>(
      FIND_CLAIM_OF,
      [agentId, decisionId],
      { name: "find_claim_of" },
    );
    return row === undefined ? null : { ...claimOf(row), tool: row.tool, idempotencyKey: row.idempotency_key };
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

// INVARIANT: a row that makes a claim is written if and only if this same statement made the claim; so is the review it opens.
function recordStatement(reviews: {
  inputs: { name: string; type: string }[];
  lifetime: string;
  opened: string;
}): string {
  return `
WITH input AS (
  ${decisionInput([
    { name: "variant", type: "bytea" },
    { name: "salt", type: "bytea" },
    { name: "canonical", type: "text" },
    ...reviews.inputs,
  ])}
), claimed AS (
  INSERT INTO idempotency_claims AS held (agent_id, idempotency_key, variant, request_digest, decision_id, recorded_at, expires_at)
  SELECT agent_id, idempotency_key, variant, request_digest, decision_id, ${timestampOf("recorded_at")}, now() + ${reviews.lifetime}
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
)${reviews.opened}
SELECT string_agg(decision_id::text, ',') AS decision_ids, ${microsOf(`(now() + ${CLAIM_LIFETIME})`)} AS claims_expire_at
FROM recorded`;
}

const RECORD = recordStatement({ inputs: [], lifetime: CLAIM_LIFETIME, opened: "" });

const RECORD_AND_REVIEW = recordStatement({
  inputs: REVIEW_INPUTS,
  // The claim outlives its review, so that a late answer never opens a second one.
  lifetime: `greatest(${CLAIM_LIFETIME}, coalesce(${REVIEW_LIFETIME}, interval '0'))`,
  opened: `, ${OPENED}`,
});

const FIND_CLAIM = `
SELECT d.decision_id, d.reason, d.message, d.rule_id, d.policy_version, c.request_digest,
  ${microsOf("d.decided_at")} AS decided_at, ${microsOf("c.expires_at")} AS expires_at
FROM idempotency_claims c JOIN audit_decisions d ON d.decision_id = c.decision_id AND d.recorded_at = c.recorded_at
WHERE c.agent_id = $1 AND c.idempotency_key = $2 AND c.variant = $3 AND c.expires_at > now()`;

const FIND_CLAIM_OF = `
SELECT d.decision_id, d.reason, d.message, d.rule_id, d.policy_version, d.tool, d.idempotency_key, c.request_digest,
  ${microsOf("d.decided_at")} AS decided_at, ${microsOf("c.expires_at")} AS expires_at
FROM audit_decisions d JOIN idempotency_claims c ON c.agent_id = d.agent_id AND c.idempotency_key = d.idempotency_key
  AND c.decision_id = d.decision_id AND c.recorded_at = d.recorded_at
WHERE d.agent_id = $1 AND d.decision_id = $2::text::uuid AND c.expires_at > now()`;

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

function reviewEntryJson(entry: Entry): object {
  return { ...entryJson(entry), ...reviewJson(entry) };
}

function writtenOf(entries: readonly Entry[], row: RecordedRow | undefined): ReadonlyMap<string, Written> {
  const ids = new Set(row?.decision_ids?.split(","));
  const expiresAt = Number(row?.claims_expire_at);
  const written = entries.filter((entry) => ids.has(entry.row.decisionId));
  return new Map(
    written.map(({ row, claim, review }) => [
      row.decisionId,
      { claimExpiresAt: claim === null || review !== null ? null : expiresAt },
    ]),
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
