import { Command } from "commander";
import { loadDataConfig } from "../config.ts";
import { UsageError } from "../fault.ts";
import { migrateAs, openStore } from "../store/open.ts";
import { withoutService } from "./admin-options.ts";
import type { Io } from "./io.ts";

/** `datacrawl migrate`. */
export function migrateCommand(io: Io): Command {
  return withoutService(new Command("migrate")).action(async () => {
    const config = loadDataConfig(io.env, io.cwd);
    const onError = (error: Error): void => io.err(`datacrawl: ${error.message}\n`);
    if (config.databaseUrl === null && config.databaseOwnerUrl === null) {
      // The embedded database is migrated by opening it.
      await (await openStore(config, onError)).close();
    } else {
      const owner = config.databaseOwnerUrl ?? config.databaseUrl;
      if (owner === null) throw new UsageError(["DATABASE_URL or DATABASE_OWNER_URL is needed"]);
      await migrateAs(owner, config.databaseUrl, onError);
      if (config.databaseUrl === null) io.err(NO_RIGHTS_GRANTED);
    }
    io.out("The database is up to date.\n");
  });
}

const NO_RIGHTS_GRANTED =
  "datacrawl: DATABASE_URL is not set, so no service login was granted rights: set it too, unless all of them were granted before\n";
