import { chmodSync, cpSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import { emptyEmbedded } from "./embedded.ts";
import { makeDatabase } from "./postgres.ts";
import { type Env, tempDir } from "./service.ts";

/** What an older version answered and handed out: `expected.json` of test/fixtures/upgrade. */
export interface Expected {
  readonly password: string;
  readonly totpUri: string;
  readonly session: string;
  readonly agentKeys: Readonly<Record<string, string>>;
  readonly calls: Readonly<Record<string, ExpectedCall>>;
  readonly reviews: Readonly<Record<string, string>>;
  readonly guardDecisions: Readonly<Record<string, string>>;
  readonly grantIds: readonly string[];
  readonly retired: { readonly month: string; readonly decisionIds: readonly string[] };
  readonly webhookIds: readonly string[];
}

export interface ExpectedCall {
  readonly agent: string;
  readonly request: Record<string, unknown>;
  readonly answer: { readonly decision: string; readonly reason: string };
  readonly decisionId: string;
}

/**
 * What would have ended by itself since the fixture was made, by the database's clock: it is given its time again, so that the test
 * holds on any later day. Nothing of the trail is touched.
 */
const RENEW = `
UPDATE idempotency_claims SET expires_at = now() + interval '1 day';
UPDATE reviews SET expires_at = now() + interval '1 day' WHERE state = 'open';
UPDATE reviews SET approval_expires_at = now() + interval '1 day' WHERE state = 'approved';
UPDATE operator_sessions SET signed_in_at = now(), used_at = now();
UPDATE webhook_messages SET created_at = now(), due_at = now(), attempts = 0;
`;

/** The fixture of an older version of the program. */
export class UpgradeFixture {
  readonly expected: Expected;
  readonly #directory: string;

  constructor(version: string) {
    this.#directory = join(import.meta.dirname, "../fixtures/upgrade", version);
    this.expected = JSON.parse(readFileSync(this.file("expected.json"), "utf8")) as Expected;
  }

  file(name: string): string {
    return join(this.#directory, name);
  }

  /** Restores the database into one of its own, with its two logins, and copies the keys and the published checkpoints. */
  async restore(serverUrl: string): Promise<{ env: Env; superUrl: string }> {
    const { ownerUrl, serviceUrl, superUrl } = await makeDatabase(serverUrl);
    const client = new pg.Client(superUrl);
    await client.connect();
    await client.query(this.#dump(new URL(ownerUrl).username, new URL(serviceUrl).username));
    // The dump has set this connection's search_path.
    await client.query(`RESET ALL; ${RENEW}`);
    await client.end();
    return { env: { DATABASE_URL: serviceUrl, DATABASE_OWNER_URL: ownerUrl, ...this.#files(tempDir()) }, superUrl };
  }

  /** Puts the same into the data directory of an embedded store. */
  async restoreEmbedded(): Promise<Env> {
    const dataDir = tempDir();
    await emptyEmbedded(dataDir);
    const database = await PGlite.create(join(dataDir, "db"));
    // The embedded database knows no other login.
    await database.exec(this.#dump("postgres", "postgres"));
    await database.exec(`RESET ALL; ${RENEW}`);
    await database.close();
    return { DATACRAWL_DATA_DIR: dataDir, ...this.#files(dataDir) };
  }

  #dump(owner: string, service: string): string {
    const dump = readFileSync(this.file("dump.sql"), "utf8");
    return dump.replaceAll("datacrawl_owner", owner).replaceAll("datacrawl_service", service);
  }

  /** Copies of the directories, which the program writes to. */
  #files(directory: string): Env {
    for (const name of ["keys", "checkpoints", "policies"])
      cpSync(this.file(name), join(directory, name), { recursive: true });
    const keysDir = join(directory, "keys");
    // git keeps no such modes, and the program refuses keys that others may read.
    for (const name of readdirSync(keysDir)) chmodSync(join(keysDir, name), 0o600);
    return {
      DATACRAWL_KEYS_DIR: keysDir,
      DATACRAWL_CHECKPOINT_DIR: join(directory, "checkpoints"),
      DATACRAWL_POLICY_DIR: join(directory, "policies"),
    };
  }
}
