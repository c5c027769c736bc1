import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../core/fault.ts";
import { openOrMakeSigningKeys, openSigningKeys, type SigningKeys } from "./key-files.ts";
import { AUDIT_KEYS, GRANT_KEYS } from "./key-uses.ts";

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

export const WEBHOOK_SECRET_PREFIX = "whsec_";

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

/** A secret of the webhook as its file and the receiver's library have it. @param random 24 to 64 secret bytes */
export function newWebhookSecret(random: Uint8Array): string {
  return `${WEBHOOK_SECRET_PREFIX}${Buffer.from(random).toString("base64")}`;
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
