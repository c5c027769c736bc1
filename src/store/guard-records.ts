import type { GuardEntry, Known } from "../authorize/sync-guard.ts";
import { DECISION_COLUMNS } from "../audit/row/record.ts";
import { arrayLiteral, type Database, microsOf, timestampOf } from "./database.ts";
import { COLUMN_VALUES, decisionInputText, decisionJson } from "./decision-input.ts";

/** A circuit as a guard last reported it. */
export interface CircuitListing {
  readonly agentId: string;
  readonly journalId: string;
  readonly report: string;
  readonly reportedAt: number;
}

/** Which circuits to list. */
export interface CircuitFilter {
  /** Null for all agents. */
  readonly agentId: string | null;
  readonly excludeClosed: boolean;
  /** Only what comes after it; null from the beginning. */
  readonly after: Pick<CircuitListing, "agentId" | "journalId"> | null;
  readonly limit: number;
}

/** What guards upload: their decisions, each once, and the state of their circuits. */
export class SqlGuardRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async known(
    agentId: string,
    journalId: string,
    records: readonly { hash: Uint8Array; sequence: number; decisionId: string }[],
  ): Promise<Known> {
    const [row] = await this.#database.query<{ hashes: string; sequences: string; ids: string }>(KNOWN, [
      agentId,
      journalId,
      arrayLiteral(records.map(({ hash }) => hash)),
      arrayLiteral(records.map(({ sequence }) => sequence)),
      arrayLiteral(records.map(({ decisionId }) => decisionId)),
    ]);
    return {
      hashes: new Set(JSON.parse(row?.hashes ?? "[]") as string[]),
      sequences: new Set(JSON.parse(row?.sequences ?? "[]") as number[]),
      decisionIds: new Set(JSON.parse(row?.ids ?? "[]") as string[]),
    };
  }

  async recordGuardBatch(entries: readonly GuardEntry[]): Promise<void> {
    await this.#database.query(RECORD, [JSON.stringify(entries.map(({ row, hash }) => decisionJson(row, hash)))], {
      name: "record_guard",
    });
  }

  async report(agentId: string, journalId: string, report: string): Promise<void> {
    await this.#database.query(
      `INSERT INTO guard_circuits (agent_id, journal_id, report) VALUES ($1, $2::text::uuid, $3)
       ON CONFLICT (agent_id, journal_id) DO UPDATE SET report = EXCLUDED.report, reported_at = now()`,
      [agentId, journalId, report],
      { name: "report_circuit" },
    );
  }

  /** Forgets the circuit of a guard that has ended. */
  async forget(agentId: string, journalId: string): Promise<void> {
    await this.#database.query(
      "DELETE FROM guard_circuits WHERE agent_id = $1 AND journal_id = $2::text::uuid",
      [agentId, journalId],
      { name: "forget_circuit" },
    );
  }

  /** The circuits that were reported within an hour, by agent and journal: an order that no report changes between two pages. */
  async circuits({ agentId, excludeClosed, after, limit }: CircuitFilter): Promise<CircuitListing[]> {
    const rows = await this.#database.query<CircuitRow>(
      `${CIRCUITS} AND ($1::text IS NULL OR agent_id = $1::text)
         AND ($2::text IS NULL OR (agent_id, journal_id) > ($2::text, $3::text::uuid))
         AND ($4::text = 'no' OR report::json->>'state' IS DISTINCT FROM 'CIRCUIT_STATE_CLOSED')
       ORDER BY agent_id, journal_id LIMIT $5::bigint`,
      [agentId, after?.agentId ?? null, after?.journalId ?? null, excludeClosed ? "yes" : "no", limit],
    );
    return rows.map(circuitOf);
  }

  /** Those of one agent, the newest reports first. */
  async newestCircuits(agentId: string, limit: number): Promise<CircuitListing[]> {
    const rows = await this.#database.query<CircuitRow>(
      `${CIRCUITS} AND agent_id = $1 ORDER BY guard_circuits.reported_at DESC LIMIT $2::bigint`,
      [agentId, limit],
    );
    return rows.map(circuitOf);
  }

  /** Forgets circuits that have not been reported for an hour, of guards that ended without a word. */
  async forgetOldCircuits(): Promise<void> {
    await this.#database.query("DELETE FROM guard_circuits WHERE reported_at < now() - interval '1 hour'");
  }
}

interface CircuitRow {
  readonly agent_id: string;
  readonly journal_id: string;
  readonly report: string;
  readonly reported_at: string;
}

function circuitOf(row: CircuitRow): CircuitListing {
  const { agent_id: agentId, journal_id: journalId, report } = row;
  return { agentId, journalId, report, reportedAt: Number(row.reported_at) };
}

const CIRCUITS = `
SELECT agent_id, journal_id, report, ${microsOf("reported_at")} AS reported_at FROM guard_circuits
WHERE reported_at > now() - interval '1 hour'`;

const KNOWN = `
SELECT
  (SELECT coalesce(json_agg(encode(record_hash, 'hex')), '[]') FROM guard_records
   WHERE agent_id = $1 AND record_hash = ANY ($3::text::bytea[]))::text AS hashes,
  (SELECT coalesce(json_agg(sequence), '[]') FROM guard_records
   WHERE agent_id = $1 AND journal_id = $2::text::uuid AND sequence = ANY ($4::text::bigint[])
   AND record_hash <> ALL ($3::text::bytea[]))::text AS sequences,
  (SELECT coalesce(json_agg(decision_id), '[]') FROM audit_decisions
   WHERE decision_id = ANY ($5::text::uuid[]))::text AS ids`;

const RECORD = `
WITH input AS (${decisionInputText()}), claimed AS (
  INSERT INTO guard_records (agent_id, record_hash, journal_id, sequence, decision_id, recorded_at)
  SELECT agent_id, guard_record_hash, guard_journal_id, guard_sequence, decision_id, ${timestampOf("recorded_at")}
  FROM input ORDER BY agent_id COLLATE "C", guard_record_hash
  ON CONFLICT DO NOTHING RETURNING agent_id, record_hash
)
INSERT INTO audit_decisions (${DECISION_COLUMNS.map(({ name }) => name).join(", ")}, hash)
SELECT ${COLUMN_VALUES}, hash FROM input
WHERE (agent_id, guard_record_hash) IN (SELECT agent_id, record_hash FROM claimed)`;
