import type { Micros } from "../core/clock.ts";
import type { PolicyFile, StoredBundle } from "../policy/bundle.ts";
import { Repository } from "./repository.ts";
import { at } from "./dialect/statements.ts";

/** The versions of the policies that services have used. Nobody changes or removes them. */
export class SqlPolicyBundles extends Repository {
  /** Does nothing if the version is known. */
  async keep(version: string, files: readonly PolicyFile[]): Promise<void> {
    await this.db
      .insertInto("policy_bundles")
      .values({ version, files: JSON.stringify(files) })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  async find(version: string): Promise<StoredBundle | null> {
    const [bundle] = await this.db
      .selectFrom("policy_bundles")
      .select(["version", "files", "first_seen as firstSeen"])
      .where("version", "=", version)
      .execute();
    return bundle === undefined ? null : { ...bundle, files: JSON.parse(bundle.files) as PolicyFile[] };
  }

  /** Those first seen before `before`, newest first. */
  async list(before: Micros, limit: number): Promise<Omit<StoredBundle, "files">[]> {
    return await this.db
      .selectFrom("policy_bundles")
      .select(["version", "first_seen as firstSeen"])
      .where("first_seen", "<", at(before))
      .orderBy("first_seen", "desc")
      .limit(limit)
      .execute();
  }
}
