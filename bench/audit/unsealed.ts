import { epochLine, formatCheckpoint } from "../../src/audit/checkpoint.ts";
import { AUDIT_KEYS, noteSigner } from "../../src/audit/keys.ts";
import { EMPTY_ROOT } from "../../src/audit/merkle.ts";
import { signNote } from "../../src/audit/note.ts";
import { CheckpointDirectory } from "../../src/audit/published.ts";
import { loadDataConfig } from "../../src/config.ts";
import { openSigningKeys } from "../../src/key-files.ts";
import { PostgresDatabase } from "../../src/store/postgres.ts";
import { SqlSealStore } from "../../src/store/seals.ts";
import type { Prepared } from "../peers/datacrawl.ts";
import { withClient } from "../support/stores.ts";

/** More leaves than any trail has. */
const FAR_AHEAD = 2 ** 40;

/**
 * Keeps a service from sealing, as no setting can: it finds a checkpoint published that its database does not have, takes
 * itself for rolled back, and decides on without sealing until an operator has taken note.
 */
export async function holdSealing({ environment, name }: Prepared): Promise<void> {
  const config = loadDataConfig(environment, process.cwd());
  const database = new PostgresDatabase(config.databaseUrl!, { connections: 1, onError: () => undefined });
  try {
    const origin = await new SqlSealStore(database).origin();
    const signer = noteSigner(origin, await openSigningKeys(config.keysDir, AUDIT_KEYS));
    const checkpoint = { epoch: 1, size: FAR_AHEAD, root: EMPTY_ROOT };
    const text = formatCheckpoint({ origin, ...checkpoint, extensions: [epochLine(checkpoint.epoch)] });
    if (config.checkpointDir === null) throw new Error(`${name} publishes no checkpoints`);
    await new CheckpointDirectory(config.checkpointDir).publish({ ...checkpoint, note: signNote(text, [signer]) });
  } finally {
    await database.close();
  }
}

/** How many rows have a seal. */
export async function sealedIn(url: string): Promise<number> {
  return await withClient(url, async (client) => {
    const { rows } = await client.query<{ n: string }>("SELECT count(*)::text AS n FROM audit_seals");
    return Number(rows[0]!.n);
  });
}
