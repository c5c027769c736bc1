import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { LAYOUT } from "./layout.ts";

const pglite = createRequire(import.meta.url).resolve("@electric-sql/pglite");
const { version } = JSON.parse(readFileSync(join(pglite, "../../package.json"), "utf8")) as { version: string };
const CACHE = join(import.meta.dirname, "../../node_modules/.cache/datacrawl");
const EMPTY = join(CACHE, `pglite-${version}`);
const MIGRATED = join(CACHE, `pglite-${version}-${LAYOUT}`);

/**
 * Puts an embedded database into `dataDir`, as empty as PGlite makes it and before any migration. To make one takes PGlite seconds of
 * computing, so it is made once for this checkout and copied.
 */
export async function emptyEmbedded(dataDir: string): Promise<void> {
  await once(EMPTY, async (directory) => {
    const database = await PGlite.create(directory);
    await database.close();
  });
  cpSync(EMPTY, join(dataDir, "db"), { recursive: true });
}

/** The same with a database of this version's layout. All copies have one log id, which no test of a single database notices. */
export async function migratedEmbedded(dataDir: string): Promise<void> {
  await once(MIGRATED, async (directory) => {
    const [{ EmbeddedDatabase }, { migrate }] = await Promise.all([
      import("../../src/store/dialect/embedded.ts"),
      import("../../src/store/migrate.ts"),
    ]);
    const database = await EmbeddedDatabase.open(directory, (error) => console.error("store:", error.message));
    await migrate(database, null);
    await database.close();
  });
  cpSync(MIGRATED, join(dataDir, "db"), { recursive: true });
}

/** Makes a directory unless it is there: whole or not at all, whoever else is making it. */
async function once(path: string, make: (directory: string) => Promise<void>): Promise<void> {
  if (existsSync(path)) return;
  mkdirSync(CACHE, { recursive: true });
  const directory = `${path}.${process.pid}`;
  await make(directory);
  try {
    renameSync(directory, path);
  } catch (error) {
    rmSync(directory, { recursive: true });
    if (!existsSync(path)) throw error;
  }
}
