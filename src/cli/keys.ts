import { Command } from "commander";
import { loadDataConfig } from "../config.ts";
import { initKeys } from "../store/keys.ts";
import type { Io } from "./io.ts";
import { outJson } from "./output.ts";

/** `datacrawl keys init`. */
export function keysCommand(io: Io): Command {
  const command = new Command("keys").description("Make the secret keys that all replicas share.");
  command
    .command("init")
    .description("Make the keys that are missing in DATACRAWL_KEYS_DIR. Existing keys are never changed.")
    .option("--json", 'print {"directory", "made"}')
    .action(async (flags: { readonly json?: true }) => {
      const { keysDir } = loadDataConfig(io.env, io.cwd);
      const made = await initKeys(keysDir);
      if (flags.json) return outJson(io, { directory: keysDir, made });
      io.out(made.length === 0 ? `All keys are in ${keysDir} already.\n` : `Made ${made.join(", ")} in ${keysDir}.\n`);
      io.err("Give every replica the same files, readable by the service's user alone, and keep a backup.\n");
    });
  return command;
}
