import { Command } from "commander";
import { withAdmin } from "../admin-client.ts";
import { ExitCode, type Io } from "../io.ts";
import { outJson } from "../output.ts";

/** `datacrawl audit erase-payload`. */
export function eraseCommand(io: Io): Command {
  return new Command("erase-payload")
    .description(
      "Erase the stored payload of a decision permanently. Hashes and proofs stay valid. Exit status 1 if there was none.",
    )
    .argument("<decision-id>", "a UUID")
    .requiredOption("--reason <text>", "why, for the audit trail")
    .option("--json", 'print {"erased"}')
    .action(async (decisionId: string, flags: { readonly reason: string; readonly json?: true }) => {
      const { erased } = await withAdmin(io, (admin) => admin.erasePayload({ decisionId, reason: flags.reason }));
      if (!erased) io.exit(ExitCode.failed);
      if (flags.json) outJson(io, { erased });
      else io.out(erased ? "Erased.\n" : "There was no payload: the decision had none, or it was already erased.\n");
    });
}
