import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestPayload } from "../../src/audit/row/hash.ts";
import { ChangeDirectory } from "../../src/audit/seal/change-directory.ts";
import { ChangePublisher } from "../../src/audit/seal/change-publisher.ts";
import { type Rollback, TrailKeeper } from "../../src/audit/seal/keeper.ts";
import { AUDIT_KEYS } from "../../src/keys/key-uses.ts";
import { CheckpointDirectory } from "../../src/audit/seal/published.ts";
import { Sealer } from "../../src/audit/seal/seal.ts";
import { openOrMakeSigningKeys, type SigningKeys } from "../../src/keys/key-files.ts";
import { SqlAccessChanges } from "../../src/store/access-changes.ts";
import type { Database } from "../../src/store/dialect/database.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { SqlSealStore } from "../../src/store/seals.ts";
import { entryFor, random } from "./entries.ts";

export interface TestTrail {
  readonly seals: SqlSealStore;
  readonly origin: string;
  readonly keys: () => Promise<SigningKeys>;
  readonly directory: CheckpointDirectory;
  readonly rollbacks: Rollback[];
  /** Another sealer on the same trail, as another replica has. */
  newSealer(): Sealer;
  newKeeper(): TrailKeeper;
}

let keysDir: string | null = null;

export async function openTestTrail(database: Database, directoryPath = tempPath("checkpoints")): Promise<TestTrail> {
  keysDir ??= tempPath("keys");
  const dir = keysDir;
  const seals = new SqlSealStore(database.kysely);
  const origin = await seals.origin();
  const keys = () => openOrMakeSigningKeys(dir, AUDIT_KEYS);
  const directory = new CheckpointDirectory(directoryPath);
  const rollbacks: Rollback[] = [];
  const options = { store: seals, origin, keys };
  const newSealer = (): Sealer => new Sealer(options);
  const onRollback = async (rollback: Rollback): Promise<void> => void rollbacks.push(rollback);
  const newKeeper = (): TrailKeeper => {
    const changes = new ChangePublisher({
      directory: new ChangeDirectory(directoryPath),
      store: new SqlAccessChanges(database.kysely),
      origin,
      keys,
    });
    return new TrailKeeper({ ...options, sealer: newSealer(), directory, changes, onRollback });
  };
  return { seals, origin, keys, directory, rollbacks, newSealer, newKeeper };
}

/** Records decisions of `name`. @returns their ids */
export async function recordDecisions(database: Database, name: string, count: number): Promise<string[]> {
  const entries = Array.from({ length: count }, (_, index) => {
    const payload = { salt: random.take(16), canonical: `{"amount":${index}}` };
    const payloadDigest = digestPayload(payload.salt, payload.canonical);
    return { ...entryFor(`${name}-${index}`, { payloadDigest }), payload };
  });
  await new SqlRecordStore(database.kysely).recordBatch(entries);
  return entries.map(({ row }) => row.decisionId);
}

function tempPath(name: string): string {
  return join(mkdtempSync(join(tmpdir(), "datacrawl-test-")), name);
}
