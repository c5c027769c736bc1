import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";

const pglite = createRequire(import.meta.url).resolve("@electric-sql/pglite");
const { version } = JSON.parse(readFileSync(join(pglite, "../../package.json"), "utf8")) as { version: string };
const INITIALISED = join(import.meta.dirname, `../../node_modules/.cache/datacrawl/pglite-${version}`);

/**
 * Puts an embedded database into `dataDir`, as empty as PGlite makes it and before any migration. To make one takes PGlite seconds of
 * computing, so it is made once for this checkout and copied.
 */
export async function initialiseEmbedded(dataDir: string): Promise<void> {
  if (!existsSync(INITIALISED)) await initialise();
  cpSync(INITIALISED, join(dataDir, "db"), { recursive: true });
}

/** Whole or not at all, whoever else is making it. */
async function initialise(): Promise<void> {
  mkdirSync(join(INITIALISED, ".."), { recursive: true });
  const directory = `${INITIALISED}.${process.pid}`;
  const database = await PGlite.create(directory);
  await database.close();
  try {
    renameSync(directory, INITIALISED);
  } catch (error) {
    rmSync(directory, { recursive: true });
    if (!existsSync(INITIALISED)) throw error;
  }
}
