import { Command } from "commander";
import type { Micros } from "../../core/clock.ts";
import { loadDataConfig } from "../../config.ts";
import { RandomPool } from "../../core/ids.ts";
import { withoutService } from "../admin-options.ts";
import type { Io } from "../io.ts";
import { outJson } from "../output.ts";
import { parseTime } from "../parse.ts";

interface RetireFlags {
  readonly before: Micros;
  readonly withUnresolved?: boolean;
  readonly json?: true;
}

/** `datacrawl audit retire`. */
export function retireCommand(io: Io): Command {
  return withoutService(new Command("retire"))
    .description("Take whole, sealed, exported months out of the trail, with DATABASE_OWNER_URL. Their hashes stay.")
    .requiredOption(
      "--before <date>",
      "months that end before, such as 2026-09-01; this month and the previous one stay",
      parseTime,
    )
    .option("--with-unresolved", "also months with executions that have no outcome; nobody can resolve them afterwards")
    .option("--json", "print the months and their tables")
    .action(async ({ before, withUnresolved = false, json }: RetireFlags) => {
      // Loaded here alone: no other command of the trail needs the store.
      const { retireMonths } = await import("../../admin/retire.ts");
      const { withOwner } = await import("../../store/open.ts");
      const { SqlRetirement } = await import("../../store/retirement.ts");
      const config = loadDataConfig(io.env, io.cwd);
      const onError = (error: Error): void => io.err(`datacrawl: ${error.message}\n`);
      const retired = await withOwner(config, onError, (owner) =>
        retireMonths(new SqlRetirement(owner.kysely), new RandomPool(), before, withUnresolved),
      );
      if (json) return outJson(io, retired);
      for (const { month, tables } of retired)
        io.out(
          `${month.slice(0, 7)} is retired. Its tables still exist; drop them when you no longer need them: ${tables.join(", ")}\n`,
        );
      if (retired.length === 0) io.out("No month is due to be retired.\n");
    });
}
