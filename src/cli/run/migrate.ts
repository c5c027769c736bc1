import { Command } from "commander";
import { type DataConfig, loadDataConfig } from "../../config.ts";
import { migrateAs, openStore } from "../../store/open.ts";
import { withoutService } from "../admin-options.ts";
import type { Io } from "../io.ts";
import { outJson } from "../output.ts";

/** `datacrawl migrate`. */
export function migrateCommand(io: Io): Command {
  return withoutService(new Command("migrate"))
    .option("--json", 'print {"migrations"}, the names of those that ran')
    .action(async (flags: { readonly json?: true }) => {
      const config = loadDataConfig(io.env, io.cwd);
      const onError = (error: Error): void => io.err(`datacrawl: ${error.message}\n`);
      const owner = config.databaseOwnerUrl ?? config.databaseUrl;
      const migrations =
        owner === null ? await migrateEmbedded(config, onError) : await migrateAs(owner, config.databaseUrl, onError);
      if (owner !== null && config.databaseUrl === null) io.err(NO_RIGHTS_GRANTED);
      if (flags.json) return outJson(io, { migrations });
      for (const name of migrations) io.out(`Ran the migration ${name}.\n`);
      io.out(
        migrations.length === 0
          ? "The database is up to date: no migration was due.\n"
          : "The database is up to date.\n",
      );
    });
}

/** The embedded database is migrated by opening it. */
async function migrateEmbedded(config: DataConfig, onError: (error: Error) => void): Promise<readonly string[]> {
  const store = await openStore(config, onError);
  await store.close();
  return store.migrations;
}

const NO_RIGHTS_GRANTED =
  "datacrawl: DATABASE_URL is not set, so no service login was granted rights: set it too, unless all of them were granted before\n";
