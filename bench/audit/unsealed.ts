import { rm } from "node:fs/promises";
import { join } from "node:path";
import { epochLine, formatCheckpoint } from "../../src/audit/log/checkpoint.ts";
import { noteSigner } from "../../src/audit/log/keys.ts";
import { AUDIT_KEYS } from "../../src/keys/key-uses.ts";
import { EMPTY_ROOT } from "../../src/audit/log/merkle.ts";
import { signNote } from "../../src/audit/log/note.ts";
import { CheckpointDirectory, pathOf, type PublishedCheckpoint } from "../../src/audit/seal/published.ts";
import { loadDataConfig } from "../../src/config.ts";
import { openSigningKeys } from "../../src/keys/key-files.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { SqlSealStore } from "../../src/store/seals.ts";
import type { Prepared } from "../peers/datacrawl.ts";
import { untilSealed, unsealedRows } from "./fill.ts";

/** More leaves than any trail has. */
const FAR_AHEAD = 2 ** 40;

/**
 * Keeps a service from sealing, as no setting can, from `run` until what it gives is disposed of: it finds a checkpoint published
 * that its database does not have, takes itself for rolled back, and decides on without sealing. Afterwards it seals what it has not
 * (it must have published a checkpoint before: a directory without any does not tell it that all is well).
 */
export function unsealed(
  prepared: Prepared,
  url: string,
): { readonly run: () => Promise<AsyncDisposable>; readonly rows: number[] } {
  const path = prepared.environment["DATACRAWL_CHECKPOINT_DIR"]!;
  const rows: number[] = [];
  const run = async (): Promise<AsyncDisposable> => {
    const checkpoint = await farAhead(prepared);
    await new CheckpointDirectory(path).publish(checkpoint);
    return {
      async [Symbol.asyncDispose]() {
        rows.push(await unsealedRows(url));
        await rm(join(path, pathOf(checkpoint)));
        await untilSealed(url);
      },
    };
  };
  return { run, rows };
}

async function farAhead({ environment }: Prepared): Promise<PublishedCheckpoint> {
  const config = loadDataConfig(environment, process.cwd());
  const database = new PostgresDatabase(config.databaseUrl!, { connections: 1, onError: () => undefined });
  try {
    const origin = await new SqlSealStore(database.kysely).origin();
    const signer = noteSigner(origin, await openSigningKeys(config.keysDir, AUDIT_KEYS));
    const checkpoint = { epoch: 1, size: FAR_AHEAD, root: EMPTY_ROOT };
    const text = formatCheckpoint({ origin, ...checkpoint, extensions: [epochLine(checkpoint.epoch)] });
    return { ...checkpoint, note: signNote(text, [signer]) };
  } finally {
    await database.close();
  }
}
