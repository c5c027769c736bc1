import { randomInt } from "node:crypto";
import { ProofOperations } from "../../src/admin/proofs.ts";
import { noteKeys } from "../../src/audit/log/keys.ts";
import { AUDIT_KEYS } from "../../src/keys/key-uses.ts";
import { formatVkey, type NoteKey } from "../../src/audit/log/note.ts";
import { checkProof, formatConsistencyProof, formatDecisionProof } from "../../src/audit/proof/proof.ts";
import { loadDataConfig } from "../../src/config.ts";
import { openSigningKeys } from "../../src/keys/key-files.ts";
import { SqlDecisionReader } from "../../src/store/decisions.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlTreeReader } from "../../src/store/proofs.ts";
import type { Prepared } from "../peers/datacrawl.ts";
import { median } from "../support/statistics.ts";
import { query } from "../../test/support/sql.ts";

/** Medians over proofs of random places. */
export interface ProofResult {
  readonly bytes: number;
  /** Of its path, 32 bytes each. */
  readonly hashes: number;
  readonly makeMs: number;
  readonly checkMs: number;
}

export interface ProofResults {
  /** In leaves. */
  readonly size: number;
  readonly inclusion: ProofResult;
  readonly consistency: ProofResult;
}

/** Makes and checks `count` proofs of each kind, one after the other. */
export async function measureProofs({ environment }: Prepared, count: number): Promise<ProofResults> {
  const config = loadDataConfig(environment, process.cwd());
  const database = new PostgresDatabase(config.databaseUrl!, { connections: 1, onError: () => undefined });
  try {
    const tree = new SqlTreeReader(database.kysely);
    const [log] = await query<{ log_id: string }>(database, "SELECT log_id FROM audit_log");
    const keys = noteKeys(`datacrawl/${log!.log_id}`, await openSigningKeys(config.keysDir, AUDIT_KEYS));
    const decisions = new SqlDecisionReader(database.kysely);
    const operations = new ProofOperations({ decisions, tree, verifierKeys: async () => keys.map(formatVkey) });
    const { size } = (await tree.newestCheckpoint(null))!;

    const sizes = await query<{ size: string }>(database, "SELECT size::text FROM audit_checkpoints ORDER BY size");
    const inclusion = await timed(count, keys, async () => {
      const id = await randomDecision(database, size);
      return async () => {
        const proof = await operations.proveDecision(id, false);
        return { text: JSON.stringify(formatDecisionProof(proof)), hashes: proof.inclusionPath.length };
      };
    });
    const consistency = await timed(count, keys, async () => {
      const first = sizes[randomInt(sizes.length)]!.size;
      return async () => {
        const proof = await operations.proveConsistency(first, "");
        return { text: JSON.stringify(formatConsistencyProof(proof)), hashes: proof.path.length };
      };
    });
    return { size, inclusion, consistency };
  } finally {
    await database.close();
  }
}

type Make = () => Promise<{ readonly text: string; readonly hashes: number }>;

async function timed(count: number, keys: readonly NoteKey[], choose: () => Promise<Make>): Promise<ProofResult> {
  const all: ProofResult[] = [];
  for (let index = 0; index < count; index++) {
    const make = await choose();
    const startedAt = performance.now();
    const { text, hashes } = await make();
    const madeAt = performance.now();
    checkProof(text, keys);
    const checkedAt = performance.now();
    all.push({ bytes: text.length, hashes, makeMs: madeAt - startedAt, checkMs: checkedAt - madeAt });
  }
  const middle = (of: (one: ProofResult) => number): number => median(all.map(of));
  return {
    bytes: middle(({ bytes }) => bytes),
    hashes: middle(({ hashes }) => hashes),
    makeMs: middle(({ makeMs }) => makeMs),
    checkMs: middle(({ checkMs }) => checkMs),
  };
}

/** Places of events are passed over. */
async function randomDecision(database: PostgresDatabase, size: number): Promise<string> {
  const [row] = await query<{ id: string }>(
    database,
    "SELECT row_id::text AS id FROM audit_seals WHERE epoch = 1 AND seq >= $1::bigint AND stream = 1 ORDER BY seq LIMIT 1",
    [randomInt(size - Math.min(size, 100))],
  );
  if (row === undefined) throw new Error("the trail ends in events");
  return row.id;
}
