import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import type { Database } from "../../src/store/dialect/database.ts";
import { EmbeddedDatabase } from "../../src/store/dialect/embedded.ts";
import { migrate } from "../../src/store/migrate.ts";
import { PostgresDatabase } from "../../src/store/dialect/postgres.ts";
import { migratedEmbedded } from "./embedded.ts";
import { ownDirectory } from "./owned.ts";
import { makeMigratedDatabase } from "./postgres.ts";

export interface TestStore {
  /** As the service uses it. */
  readonly database: Database;
  readonly owner: Database;
  /** The service's login; null on the embedded store. */
  readonly serviceUrl: string | null;
  readonly ownerUrl: string | null;
  readonly superUrl: string | null;
  readonly close: () => Promise<void>;
}

const loud = (error: Error): void => console.error("store:", error.message);

/** Both stores behind one contract. Postgres is left out, loudly, where the machine has none (see global-setup). */
export function storeKinds(): { name: string; open: () => Promise<TestStore> }[] {
  const url = inject("postgresUrl");
  const kinds = [{ name: "embedded", open: openEmbedded }];
  if (url !== null) kinds.push({ name: "Postgres", open: () => openPostgres(url) });
  return kinds;
}

async function openEmbedded(): Promise<TestStore> {
  const directory = ownDirectory(mkdtempSync(join(tmpdir(), "datacrawl-embedded-")));
  await migratedEmbedded(directory);
  const database = await EmbeddedDatabase.open(join(directory, "db"), loud);
  await migrate(database, null);
  const close = async (): Promise<void> => {
    await database.close();
    rmSync(directory, { recursive: true, force: true });
  };
  return { database, owner: database, serviceUrl: null, ownerUrl: null, superUrl: null, close };
}

export async function openPostgres(serverUrl: string): Promise<TestStore> {
  const { ownerUrl, serviceUrl, superUrl } = await makeMigratedDatabase(serverUrl);
  const owner = new PostgresDatabase(ownerUrl, { connections: 1, onError: loud });
  await migrate(owner, decodeURIComponent(new URL(serviceUrl).username));
  const database = new PostgresDatabase(serviceUrl, { connections: 6, onError: loud });
  const close = async (): Promise<void> => {
    await database.close();
    await owner.close();
  };
  return { database, owner, serviceUrl, ownerUrl, superUrl, close };
}
