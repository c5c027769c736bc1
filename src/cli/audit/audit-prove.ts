import { existsSync, readFileSync } from "node:fs";
import { Command } from "commander";
import { parseVkey } from "../../audit/log/note.ts";
import { checkProof, ProofError } from "../../audit/proof/proof.ts";
import { withAdmin } from "../admin-client.ts";
import { formerly } from "../former-flag.ts";
import { ExitCode, type Io } from "../io.ts";
import { printable } from "../output.ts";

/** `datacrawl audit prove` and `prove-consistency`. */
export function proveCommands(io: Io): Command[] {
  const decision = new Command("prove")
    .description("Print a proof that a decision is in the trail, for a reader who has only the log's public key.")
    .argument("<decision-id>", "a UUID")
    .option("--with-payloads", "with the payload, if it was kept")
    .action((decisionId: string, flags: { readonly withPayloads?: true }) =>
      prove(io, async (admin) => admin.proveDecision({ decisionId, includePayload: flags.withPayloads ?? false })),
    );
  formerly(decision, "--payload", "--with-payloads");
  const consistency = new Command("prove-consistency")
    .description("Print a proof that nothing under an earlier checkpoint changed until a later one.")
    .argument("<first>", "a file with a signed checkpoint that you kept, or a number of leaves")
    .argument("[second]", "the same; default: the newest checkpoint")
    .action((first: string, second: string | undefined) =>
      prove(io, async (admin) => admin.proveConsistency({ first: contentOf(first), second: contentOf(second ?? "") })),
    );
  return [decision, consistency];
}

type Admin = Parameters<Parameters<typeof withAdmin>[1]>[0];

/** Prints the proof also if it does not hold: it shows then what is wrong with the trail. */
async function prove(io: Io, ask: (admin: Admin) => Promise<{ readonly proof: string }>): Promise<void> {
  const { proof, vkeys } = await withAdmin(io, async (admin) => {
    const answer = await ask(admin);
    const { keys } = await admin.listAuditKeys({});
    return { proof: answer.proof, vkeys: keys.map(({ vkey }) => vkey) };
  });
  io.out(proof);
  try {
    checkProof(proof, vkeys.map(parseVkey));
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    io.err(
      `datacrawl: THE PROOF DOES NOT HOLD, so the trail was changed: ${error.step}: ${printable(error.message)}\n`,
    );
    io.exit(ExitCode.failed);
  }
}

function contentOf(argument: string): string {
  return existsSync(argument) ? readFileSync(argument, "utf8") : argument;
}
