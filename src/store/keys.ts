import { createHash, randomBytes } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Kysely } from "kysely";
import { AUDIT_KEYS } from "../audit/log/keys.ts";
import { GRANT_KEYS } from "../keys/grant-keys.ts";
import { UsageError } from "../core/fault.ts";
import { fingerprint } from "../core/key-chain.ts";
import { openOrMakeSigningKeys, openSigningKeys, type SigningKeys } from "../keys/key-files.ts";
import { newWebhookSecret } from "../webhook/signature.ts";
import type { Schema } from "./schema.ts";

/** Secrets that all replicas share and the database never holds. */
export interface ServiceKeys {
  /** 32 random bytes, from which all HMAC keys are derived. */
  readonly hmac: Buffer;
  /** What circuit-bypass orders are signed with. Another set after {@link reloadGrantKeys}: read it when it is needed. */
  grants: SigningKeys;
  /** What checkpoints of the audit trail are signed with. */
  readonly audit: SigningKeys;
}

const HMAC_FILE = "hmac.key";
/** Read only where a webhook is set up: the receiver has a copy (docs/webhooks.md). */
export const WEBHOOK_SECRET_FILE = "webhook.secret";

/** Makes the keys that are missing in `directory`. @returns the names of the files that were made */
export async function initKeys(directory: string): Promise<string[]> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const before = new Set(readdirSync(directory));
  writeNew(join(directory, HMAC_FILE), `${randomBytes(32).toString("hex")}\n`);
  await openOrMakeSigningKeys(directory, GRANT_KEYS);
  await openOrMakeSigningKeys(directory, AUDIT_KEYS);
  writeNew(join(directory, WEBHOOK_SECRET_FILE), `${newWebhookSecret(randomBytes(32))}\n`);
  return readdirSync(directory).filter((name) => !before.has(name));
}

/** @throws UsageError if a key is missing or is not one */
export async function loadKeys(directory: string): Promise<ServiceKeys> {
  return {
    hmac: loadHmacKey(directory),
    grants: await openSigningKeys(directory, GRANT_KEYS),
    audit: await openSigningKeys(directory, AUDIT_KEYS),
  };
}

/**
 * Takes up grant keys that have been added to `directory`.
 *
 * @throws UsageError if those there are not the ones in use, and more behind them
 */
export async function reloadGrantKeys(directory: string, keys: ServiceKeys): Promise<void> {
  const found = await openSigningKeys(directory, GRANT_KEYS);
  const goesOn = keys.grants.chain.every((link, index) => {
    const same = found.chain[index];
    return same !== undefined && Buffer.compare(link.publicKey, same.publicKey) === 0;
  });
  if (!goesOn)
    throw new UsageError([`${directory}: the grant keys there do not continue those in use, which stay in use`]);
  keys.grants = found;
}

function loadHmacKey(directory: string): Buffer {
  const path = join(directory, HMAC_FILE);
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    const why =
      error instanceof Error && "code" in error && error.code === "ENOENT" ? "does not exist" : "cannot be read";
    throw new UsageError([
      `the key file ${path} ${why}: run \`datacrawl keys init\` once, and give all replicas the same files (DATACRAWL_KEYS_DIR)`,
    ]);
  }
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new UsageError([
      `the key file ${path} does not hold 64 hex digits: give this replica the files of the others (DATACRAWL_KEYS_DIR)`,
    ]);
  return Buffer.from(text, "hex");
}

/**
 * Registers the keys' fingerprints with the database's first replica, and holds every later one to them: a replica with
 * other keys would take every retry for another request.
 *
 * @throws UsageError if the database knows other keys
 */
export async function registerKeys(db: Kysely<Schema>, keys: ServiceKeys): Promise<void> {
  const ours = {
    hmac: createHash("sha256").update("datacrawl.fingerprint.v1").update(keys.hmac).digest("hex").slice(0, 32),
    // The first of a chain: rotation adds to it, and signs each new key with the one before.
    grant: fingerprint(keys.grants.chain[0]?.publicKey ?? new Uint8Array()),
    audit: fingerprint(keys.audit.chain[0]?.publicKey ?? new Uint8Array()),
  };
  const problems: string[] = [];
  for (const [name, mine] of Object.entries(ours)) {
    await db
      .insertInto("service_keys")
      .values({ name, fingerprint: mine })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const [row] = await db.selectFrom("service_keys").select("fingerprint").where("name", "=", name).execute();
    if (row?.fingerprint === mine) continue;
    problems.push(
      `this replica's ${name} key has the fingerprint ${mine}, but this database's replicas use ${row?.fingerprint}: ` +
        "give this replica their keys directory (DATACRAWL_KEYS_DIR)",
    );
  }
  if (problems.length > 0) throw new UsageError(problems);
}

/** False if the file exists. Durable when it returns: a key that is lost in a power cut was worth nothing. */
function writeNew(path: string, text: string): boolean {
  let file: number;
  try {
    file = openSync(path, "wx", 0o600);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
  return true;
}
