import { Command } from "commander";
import { loadDataConfig } from "../../config.ts";
import { GRANT_KEYS } from "../../keys/key-uses.ts";
import { fingerprint } from "../../core/key-chain.ts";
import { rotateSigningKeys } from "../../keys/key-files.ts";
import { initKeys } from "../../keys/service-keys.ts";
import { withoutService } from "../admin-options.ts";
import type { Io } from "../io.ts";
import { outJson } from "../output.ts";

/** `datacrawl keys init|rotate-grant`. */
export function keysCommand(io: Io): Command {
  const command = withoutService(new Command("keys"));
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
  command
    .command("rotate-grant")
    .description("Add a new key for bypass grants, signed by the one before it, in DATACRAWL_KEYS_DIR.")
    .option("--json", 'print {"directory", "fingerprint"}')
    .action(async (flags: { readonly json?: true }) => {
      const { keysDir } = loadDataConfig(io.env, io.cwd);
      const { signing } = await rotateSigningKeys(keysDir, GRANT_KEYS);
      const made = { directory: keysDir, fingerprint: fingerprint(signing.publicKey) };
      if (flags.json) outJson(io, made);
      else io.out(`Made the grant key ${made.fingerprint} in ${keysDir}.\n`);
      io.err(
        "Give every replica the same files, then send each SIGHUP, or restart it: live grants are signed again then.\n",
      );
    });
  return command;
}
