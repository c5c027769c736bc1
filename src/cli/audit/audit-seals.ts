import type { Command } from "commander";
import { withAdmin } from "../admin-client.ts";
import { answersWithin } from "../admin-options.ts";
import { ExitCode, type Io } from "../io.ts";
import { outJson, printable } from "../output.ts";
import { addAcknowledgeRollback } from "./acknowledge-rollback.ts";

interface JsonFlag {
  readonly json?: true;
}

/** `datacrawl audit status|seal|key|rotate-key|acknowledge-rollback`. */
export function addSealCommands(audit: Command, io: Io): void {
  audit
    .command("status")
    .description("Show the state of sealing. Exit status 1 if something is wrong.")
    .option("--json", "print the status")
    .action(async (flags: JsonFlag) => {
      const status = await withAdmin(io, (admin) => admin.getAuditStatus({}));
      const { origin, epoch, problems, rolledBack, checkpoint, checkpointDir } = status;
      const [sealedRows, unsealedRows] = [Number(status.sealedRows), Number(status.unsealedRows)];
      if (problems.length > 0) io.exit(ExitCode.failed);
      if (flags.json) {
        const optional = { checkpoint: checkpoint ?? null, checkpointDir: checkpointDir ?? null };
        return outJson(io, { origin, epoch, sealedRows, unsealedRows, rolledBack, problems, ...optional });
      }
      io.out(`Log          ${printable(origin)}, epoch ${epoch}\n`);
      io.out(`Sealed       ${sealedRows} rows\n`);
      io.out(`Not sealed   ${unsealedRows} rows\n`);
      io.out(
        `Published    ${checkpointDir === undefined ? "nowhere: set DATACRAWL_CHECKPOINT_DIR" : printable(checkpointDir)}\n`,
      );
      for (const problem of problems) io.out(`PROBLEM      ${printable(problem)}\n`);
    });

  answersWithin("10m", audit.command("seal"))
    .description("Seal what is recorded now, and print the checkpoint.")
    .option("--json", 'print {"sealedRows", "checkpoint"}')
    .action(async (flags: JsonFlag) => {
      const { sealedRows, checkpoint } = await withAdmin(io, (admin) => admin.sealAudit({}));
      if (flags.json) return outJson(io, { sealedRows: Number(sealedRows), checkpoint: checkpoint ?? null });
      io.err(`Sealed ${sealedRows} rows.\n`);
      if (checkpoint !== undefined) io.out(checkpoint);
    });

  audit
    .command("key")
    .description(
      "Print the public keys that checkpoints are signed with, oldest first (C2SP signed-note verifier keys).",
    )
    .option("--json", "print each key with the signature by the one before it")
    .action(async (flags: JsonFlag) => {
      const { keys } = await withAdmin(io, (admin) => admin.listAuditKeys({}));
      if (!flags.json) return io.out(keys.map(({ vkey }) => `${vkey}\n`).join(""));
      outJson(
        io,
        keys.map(({ vkey, signatureByPrevious }) => {
          return { vkey, signatureByPrevious: Buffer.from(signatureByPrevious).toString("hex") || null };
        }),
      );
    });

  audit
    .command("rotate-key")
    .description("Make a new audit key in DATACRAWL_KEYS_DIR, signed by the one before it.")
    .option("--json", 'print {"vkey"}')
    .action(async (flags: JsonFlag) => {
      const { vkey } = await withAdmin(io, (admin) => admin.rotateAuditKey({}));
      if (flags.json) return outJson(io, { vkey });
      io.out(`${vkey}\n`);
      io.err("Give every replica the new file, and everyone who verifies checkpoints the new public key.\n");
    });

  addAcknowledgeRollback(audit, io);
}
