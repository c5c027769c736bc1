import { createHash } from "node:crypto";
import type { Kysely } from "kysely";
import { UsageError } from "../core/fault.ts";
import { fingerprint } from "../core/key-chain.ts";
import type { ServiceKeys } from "../keys/service-keys.ts";
import type { Schema } from "./schema.ts";

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
