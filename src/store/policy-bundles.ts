import type { PolicyFile } from "../policy/bundle.ts";
import type { Micros } from "../core/clock.ts";
import { type Database, microsOf, timestampOf } from "./database.ts";

/** A version of the policies, as it was when a service first used it. */
export interface StoredBundle {
  readonly version: string;
  readonly files: readonly PolicyFile[];
  readonly firstSeen: Micros;
}

/** The versions of the policies that services have used. Nobody changes or removes them. */
export class SqlPolicyBundles {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Does nothing if the version is known. */
  async keep(version: string, files: readonly PolicyFile[]): Promise<void> {
    await this.#database.query("INSERT INTO policy_bundles (version, files) VALUES ($1, $2) ON CONFLICT DO NOTHING", [
      version,
      JSON.stringify(files),
    ]);
  }

  async find(version: string): Promise<StoredBundle | null> {
    const [row] = await this.#database.query<{ files: string; first_seen: string }>(
      `SELECT files, ${microsOf("first_seen")} AS first_seen FROM policy_bundles WHERE version = $1`,
      [version],
    );
    if (row === undefined) return null;
    return { version, files: JSON.parse(row.files) as PolicyFile[], firstSeen: Number(row.first_seen) };
  }

  /** Those first seen before `before`, newest first. */
  async list(before: Micros, limit: number): Promise<Omit<StoredBundle, "files">[]> {
    const rows = await this.#database.query<{ version: string; first_seen: string }>(
      `SELECT version, ${microsOf("first_seen")} AS first_seen FROM policy_bundles b
       WHERE b.first_seen < ${timestampOf("$1::bigint")} ORDER BY b.first_seen DESC LIMIT $2::bigint`,
      [String(before), limit],
    );
    return rows.map(({ version, first_seen: firstSeen }) => ({ version, firstSeen: Number(firstSeen) }));
  }
}
