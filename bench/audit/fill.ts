/**
 * A large trail, fast: rows as the service writes them, with their hashes, payloads and claims, but by COPY. The service that
 * runs on the same database seals them.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { digestPayload, hashDecision } from "../../src/audit/row/hash.ts";
import { DECISION_COLUMNS_V2, type DecisionRow } from "../../src/audit/row/record.ts";
import { isoMicros, systemClock } from "../../src/core/clock.ts";
import { RandomPool, uuidV7 } from "../../src/core/ids.ts";
import type { StoredDecision } from "../../src/audit/row/record.ts";
import { SqlDecisionReader } from "../../src/store/decisions.ts";
import { bytea } from "../../src/store/decision-input.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SEAL_ROWS } from "../../src/audit/seal/seal.ts";
import { withClient } from "../support/stores.ts";
import { copyIn } from "./copy-in.ts";
import { query } from "../../test/support/sql.ts";

/** Rows of one transaction: they cannot be sealed before it ends. */
const BATCH = 10_000;
const SEALED_POLL_MS = 250;
const SALT_BYTES = 16;

/** What the rows are like: one that a service recorded. */
export async function templateOf(url: string): Promise<StoredDecision> {
  const database = new PostgresDatabase(url, { connections: 1, onError: () => undefined });
  try {
    const [newest] = await query<{ decision_id: string }>(
      database,
      "SELECT decision_id FROM audit_decisions ORDER BY recorded_at DESC LIMIT 1",
    );
    const found = await new SqlDecisionReader(database.kysely).find(newest?.decision_id ?? "");
    if (found === null) throw new Error("nothing is recorded to take as an example");
    return found;
  } finally {
    await database.close();
  }
}

/** Adds `count` rows, each like `template` with an id, a key, times, digests and a salt of its own. */
export async function fill(url: string, template: StoredDecision, count: number): Promise<void> {
  return await withClient(url, async (client) => {
    const random = new RandomPool(1 << 16);
    let written: Promise<void> = Promise.resolve();
    for (let at = 0; at < count; at += BATCH) {
      const tables = makeRows(template, Math.min(BATCH, count - at), random);
      // The next rows are made while Postgres takes these.
      await written;
      written = write(client, tables);
      written.catch(() => undefined);
    }
    await written;
  });
}

/** Waits until the service has sealed all rows. @returns how many there are */
export async function untilSealed(url: string): Promise<number> {
  return await withClient(url, async (client) => {
    const wanted = await countOf(client, ROWS);
    for (;;) {
      const sealed = await countOf(client, SEALED);
      if (sealed >= wanted) return sealed;
      await sleep(SEALED_POLL_MS);
    }
  });
}

/** How many rows have no seal. */
export async function unsealedRows(url: string): Promise<number> {
  return await withClient(url, async (client) => (await countOf(client, ROWS)) - (await countOf(client, SEALED)));
}

/** Leaves the tables as autovacuum would have left those of a trail that grew slowly, and everything on disk. */
export async function settle(url: string): Promise<void> {
  return await withClient(url, async (client) => {
    await client.query("VACUUM (ANALYZE)");
    await client.query("CHECKPOINT");
  });
}

/** What a table takes on disk, its partitions together. */
export interface Storage {
  readonly table: string;
  readonly bytes: number;
  /** Of these. */
  readonly indexBytes: number;
}

export async function storageOf(url: string): Promise<Storage[]> {
  return await withClient(url, async (client) => {
    const { rows } = await client.query<{ name: string; bytes: string; indexes: string }>(STORAGE);
    return rows.map(({ name, bytes, indexes }) => {
      return { table: name, bytes: Number(bytes), indexBytes: Number(indexes) };
    });
  });
}

/** While it has a backlog: full seals, one right after the other. @returns NaN if there never was one */
export async function rowsSealedPerSecond(url: string): Promise<number> {
  return await withClient(url, async (client) => {
    const { rows } = await client.query<{ rate: number | null }>(SEALED_RATE, [SEAL_ROWS]);
    return rows[0]?.rate ?? Number.NaN;
  });
}

const SEALED_RATE = `
SELECT ($1 / percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM created_at - before)))::float8 AS rate
FROM (
  SELECT created_at, size - previous_size AS rows, lag(created_at) OVER (ORDER BY size) AS before,
    lag(size - previous_size) OVER (ORDER BY size) AS rows_before
  FROM audit_checkpoints) seals
WHERE rows = $1 AND rows_before = $1`;

const ROWS = "SELECT ((SELECT count(*) FROM audit_decisions) + (SELECT count(*) FROM audit_events))::text AS n";
const SEALED = "SELECT coalesce(max(size), 0)::text AS n FROM audit_checkpoints";

const STORAGE = `
SELECT t.name, sum(pg_total_relation_size(coalesce(p.relid, t.name::regclass)))::text AS bytes,
  sum(pg_indexes_size(coalesce(p.relid, t.name::regclass)))::text AS indexes
FROM unnest(ARRAY['audit_decisions', 'audit_payloads', 'audit_seals', 'audit_nodes', 'audit_checkpoints', 'idempotency_claims'])
  WITH ORDINALITY AS t(name, n)
LEFT JOIN LATERAL pg_partition_tree(t.name::regclass) p ON true
GROUP BY t.name, t.n ORDER BY t.n`;

async function countOf(client: Client, sql: string): Promise<number> {
  const { rows } = await client.query<{ n: string }>(sql);
  return Number(rows[0]!.n);
}

interface Tables {
  readonly decisions: string;
  readonly payloads: string;
  readonly claims: string;
}

async function write(client: Client, { decisions, payloads, claims }: Tables): Promise<void> {
  await client.query("BEGIN");
  await copyIn(client, `audit_decisions (${DECISION_COLUMNS_V2.map(({ name }) => name).join(", ")}, hash)`, decisions);
  await copyIn(client, "audit_payloads (decision_id, recorded_at, salt, canonical)", payloads);
  await copyIn(
    client,
    "idempotency_claims (agent_id, idempotency_key, variant, request_digest, decision_id, recorded_at, expires_at)",
    claims,
  );
  await client.query("COMMIT");
}

function makeRows(template: StoredDecision, count: number, random: RandomPool): Tables {
  if (template.payload === null) throw new Error("the example has no payload");
  const { canonical } = template.payload;
  const [decisions, payloads, claims]: [string[], string[], string[]] = [[], [], []];
  for (let index = 0; index < count; index++) {
    const now = systemClock.now();
    const salt = random.take(SALT_BYTES);
    const idempotencyKey = random.take(12).toString("hex");
    const row: DecisionRow = {
      ...template.row,
      decisionId: uuidV7(now, random),
      recordedAt: now,
      decidedAt: now,
      idempotencyKey,
      requestDigest: createHash("sha256").update(idempotencyKey).digest(),
      payloadDigest: digestPayload(salt, canonical),
    };
    const time = isoMicros(now);
    decisions.push(
      lineOf([...DECISION_COLUMNS_V2.map(({ field, kind }) => textOf(row[field], kind)), bytea(hashDecision(row))]),
    );
    payloads.push(lineOf([row.decisionId, time, bytea(salt), canonical]));
    const expires = isoMicros(now + 24 * 3_600_000_000);
    claims.push(lineOf([row.agentId, idempotencyKey, "\\x", bytea(row.requestDigest), row.decisionId, time, expires]));
  }
  return { decisions: decisions.join(""), payloads: payloads.join(""), claims: claims.join("") };
}

function textOf(value: DecisionRow[keyof DecisionRow], kind: string): string | null {
  if (value === null) return null;
  if (kind === "micros") return isoMicros(value as number);
  return value instanceof Uint8Array ? bytea(value) : String(value);
}

/** A line of COPY's text format. */
function lineOf(values: readonly (string | null)[]): string {
  return `${values.map((value) => (value === null ? "\\N" : value.replaceAll("\\", "\\\\"))).join("\t")}\n`;
}
