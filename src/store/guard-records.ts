import { type Kysely, sql } from "kysely";
import { arrayLiteral, atColumn, NOW, prepared } from "./dialect/statements.ts";
import { decisionInput, decisionJson, insertDecisions } from "./decision-input.ts";
import { Repository } from "./repository.ts";
import type { Schema, StoredTime } from "./schema.ts";
import type { Micros } from "../core/clock.ts";
import type { DecisionRow } from "../audit/row/record.ts";

/** A guard's decision on its way into the trail. */
export interface GuardEntry {
  readonly row: DecisionRow;
  readonly hash: Uint8Array;
}

/** What the trail knows already of an upload's records. */
export interface Known {
  /** Hashes (hex) that are recorded. */
  readonly hashes: ReadonlySet<string>;
  /** Sequence numbers of the journal that other records hold. */
  readonly sequences: ReadonlySet<number>;
  /** Decision ids that other rows hold. */
  readonly decisionIds: ReadonlySet<string>;
}

/** A circuit as a guard last reported it; the report is a `CircuitReport` as JSON. */
export interface CircuitView {
  readonly agentId: string;
  readonly journalId: string;
  readonly report: string;
  readonly reportedAt: Micros;
}

export interface CircuitQuery {
  /** Null for all agents. */
  readonly agentId: string | null;
  /** Only those that do not let every call pass. */
  readonly excludeClosed: boolean;
  /** Where the page before ended; null for the first. */
  readonly after: CircuitPlace | null;
  readonly limit: number;
}

/** A place in the list, which is sorted by agent, then by journal. */
export type CircuitPlace = Pick<CircuitView, "agentId" | "journalId">;

/** What guards upload: their decisions, each once, and the state of their circuits. */
export class SqlGuardRecords extends Repository {
  async known(
    agentId: string,
    journalId: string,
    records: readonly { hash: Uint8Array; sequence: number; decisionId: string }[],
  ): Promise<Known> {
    const hashes = arrayLiteral(records.map(({ hash }) => hash));
    const sequences = arrayLiteral(records.map(({ sequence }) => sequence));
    const ids = arrayLiteral(records.map(({ decisionId }) => decisionId));
    const [known] = await KNOWN.execute(this.db, { agentId, journalId, hashes, sequences, ids });
    return {
      hashes: new Set(known?.hashes),
      sequences: new Set(known?.sequences),
      decisionIds: new Set(known?.ids),
    };
  }

  /** Writes the entries whose record hash is not recorded yet, in one transaction. */
  async recordGuardBatch(entries: readonly GuardEntry[]): Promise<void> {
    const json = JSON.stringify(entries.map(({ row, hash }) => decisionJson(row, hash)));
    await RECORD.execute(this.db, { json });
  }

  async report(agentId: string, journalId: string, report: string): Promise<void> {
    await REPORT.execute(this.db, { agentId, journalId, report });
  }

  /** Forgets the circuit of a guard that has ended. */
  async forget(agentId: string, journalId: string): Promise<void> {
    await this.db
      .deleteFrom("guard_circuits")
      .where("agent_id", "=", agentId)
      .where("journal_id", "=", journalId)
      .execute();
  }

  /** The circuits that were reported within an hour, by agent and journal: an order that no report changes between two pages. */
  async circuits({ agentId, excludeClosed, after, limit }: CircuitQuery): Promise<CircuitView[]> {
    let circuits = reportedCircuits(this.db).select(LISTED).orderBy("agent_id").orderBy("journal_id").limit(limit);
    if (agentId !== null) circuits = circuits.where("agent_id", "=", agentId);
    if (after !== null)
      circuits = circuits.where((eb) =>
        eb(eb.refTuple("agent_id", "journal_id"), ">", eb.tuple(after.agentId, after.journalId)),
      );
    if (excludeClosed) circuits = circuits.where(STATE, "is distinct from", "CIRCUIT_STATE_CLOSED");
    return await circuits.execute();
  }

  /** Those of one agent, the newest reports first. */
  async newestCircuits(agentId: string, limit: number): Promise<CircuitView[]> {
    return await reportedCircuits(this.db)
      .select(LISTED)
      .where("agent_id", "=", agentId)
      .orderBy("reported_at", "desc")
      .limit(limit)
      .execute();
  }

  /** Forgets circuits that have not been reported for an hour, of guards that ended without a word. */
  async forgetOldCircuits(): Promise<void> {
    await this.db.deleteFrom("guard_circuits").where("reported_at", "<", HOUR_AGO).execute();
  }
}

const HOUR_AGO = sql<StoredTime>`${NOW} - interval '1 hour'`;
/** A report is proto3's JSON, which leaves out what is empty. */
export const STATE = sql<string | null>`report::json->>'state'`;

/** Those that were reported within an hour. */
export function reportedCircuits(db: Kysely<Schema>) {
  return db.selectFrom("guard_circuits").where("reported_at", ">", HOUR_AGO);
}

const LISTED = ["agent_id as agentId", "journal_id as journalId", "report", "reported_at as reportedAt"] as const;

const REPORT = prepared(({ agentId, journalId, report }: Omit<CircuitView, "reportedAt">, db) =>
  db
    .insertInto("guard_circuits")
    .values({ agent_id: agentId, journal_id: journalId, report })
    .onConflict((conflict) =>
      conflict
        .columns(["agent_id", "journal_id"])
        .doUpdateSet((eb) => ({ report: eb.ref("excluded.report"), reported_at: NOW })),
    ),
);

/** The lists are array literals. */
type KnownParams = Record<"agentId" | "journalId" | "hashes" | "sequences" | "ids", string>;

const KNOWN = prepared(
  ({ agentId, journalId, hashes, sequences, ids }: KnownParams) => sql<{
    hashes: string[];
    sequences: number[];
    ids: string[];
  }>`
SELECT
  (SELECT coalesce(json_agg(encode(record_hash, 'hex')), '[]') FROM guard_records
   WHERE agent_id = ${agentId} AND record_hash = ANY (${hashes}::text::bytea[])) AS hashes,
  (SELECT coalesce(json_agg(sequence), '[]') FROM guard_records
   WHERE agent_id = ${agentId} AND journal_id = ${journalId}::uuid AND sequence = ANY (${sequences}::text::bigint[])
   AND record_hash <> ALL (${hashes}::text::bytea[])) AS sequences,
  (SELECT coalesce(json_agg(decision_id), '[]') FROM audit_decisions
   WHERE decision_id = ANY (${ids}::text::uuid[])) AS ids`,
);

const RECORD = prepared(
  ({ json }: { json: string }) => sql`
WITH input AS (${decisionInput(json)}), claimed AS (
  INSERT INTO guard_records (agent_id, record_hash, journal_id, sequence, decision_id, recorded_at)
  SELECT agent_id, guard_record_hash, guard_journal_id, guard_sequence, decision_id, ${atColumn(sql`recorded_at`)}
  FROM input ORDER BY agent_id COLLATE "C", guard_record_hash
  ON CONFLICT DO NOTHING RETURNING agent_id, record_hash
)
${insertDecisions(sql`FROM input WHERE (agent_id, guard_record_hash) IN (SELECT agent_id, record_hash FROM claimed)`)}`,
);
