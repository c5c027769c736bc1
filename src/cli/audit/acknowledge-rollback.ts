import { type LostChange, LostChangeRemedySchema, type Recovery } from "@datacrawl/proto/datacrawl/authz/v1/audit_pb";
import type { Command } from "commander";
import { withAdmin } from "../admin-client.ts";
import { ExitCode, type Io } from "../io.ts";
import { outJson, outTable, printable, wordOf } from "../output.ts";
import { timeText } from "../timestamp-text.ts";

interface Flags {
  readonly reason?: string;
  readonly yes?: true;
  readonly json?: true;
}

/** `datacrawl audit acknowledge-rollback`. */
export function addAcknowledgeRollback(audit: Command, io: Io): void {
  audit
    .command("acknowledge-rollback")
    .description(
      "Show what a rollback of the database has lost; with --yes acknowledge it, so that agents are allowed again.",
    )
    .option("--reason <text>", "what happened, for the audit trail; needed with --yes")
    .option("--yes", "acknowledge it: what is listed has been checked")
    .option("--json", 'print {"epoch", "recovery"}; the epoch is null without --yes')
    .addHelpText("after", "\nRuns only on the service's host. Sealing continues in a new epoch.")
    .action(async (flags: Flags, self: Command) => {
      const { reason, yes } = flags;
      if (yes && reason === undefined) self.error("error: --yes needs --reason: what happened, for the audit trail");
      const { recovery, epoch } = await withAdmin(io, async (admin) => {
        const shown = (await admin.getRecovery({})).recovery;
        // Without a rollback the service says that there is nothing to acknowledge.
        const mayAcknowledge = shown === undefined || yes === true;
        const given = mayAcknowledge
          ? await admin.acknowledgeAuditRollback({ reason: reason ?? "-", confirmed: yes === true })
          : null;
        return { recovery: shown, epoch: given?.epoch ?? null };
      });
      if (epoch === null) io.exit(ExitCode.failed);
      if (flags.json) return outJson(io, { epoch, recovery: recovery === undefined ? null : jsonOf(recovery) });
      if (recovery !== undefined) describe(io, recovery);
      if (epoch !== null) return io.out(`Epoch ${epoch} begins: agents are allowed again.\n`);
      io.err("Nothing is acknowledged. When all of this is checked: --yes --reason TEXT\n");
    });
}

/** What each remedy means, for the one who checks. */
const REMEDY: Readonly<Record<string, string>> = {
  REAPPLIED: "done again",
  LOCKED: "locked: set a new password",
  VOIDED: "all grants are ended",
  LOST: "LOST: do it again if it is still wanted",
};

function describe(io: Io, { problem, lostChanges, incompleteBecause }: Recovery): void {
  io.out(`${printable(problem)}.\n\n`);
  const rows = lostChanges.map((change) => [
    timeText(change.recordedAt),
    change.kind,
    change.subject,
    change.actor,
    REMEDY[remedyOf(change)] ?? remedyOf(change),
  ]);
  if (rows.length > 0) outTable(io, ["RECORDED", "CHANGE", "OF", "BY", "NOW"], rows);
  else io.out("No lost change of agents, operators, bypasses or circuits is known.\n");
  if (incompleteBecause !== "") io.out(`THERE MAY BE MORE: ${printable(incompleteBecause)}.\n`);
  io.out(`\n${CHECKS}`);
}

const CHECKS = `Check, before agents are allowed again:
  agents and keys   datacrawl agent list: revoke or freeze whatever should not be there
  operators         datacrawl operator list: remove, or set passwords; all sessions are ended
  bypasses          datacrawl bypass list --past: all are ended; a guard out of reach keeps its own until it expires
  circuits          datacrawl circuit list: orders of before the rollback may differ from those of guards
  reviews           datacrawl review list --state approved: approvals of before the rollback allow again
  policies          datacrawl policy active: policies are files, which a database does not roll back
Changes of the last 10 seconds before the rollback may have been published nowhere.
`;

function remedyOf({ remedy }: LostChange): string {
  return wordOf(LostChangeRemedySchema, remedy);
}

function jsonOf(recovery: Recovery): Record<string, unknown> {
  const { problem, publishedEpoch, publishedSize, databaseEpoch, databaseSize, lostChanges, incompleteBecause } =
    recovery;
  return {
    problem,
    published: { epoch: publishedEpoch, size: Number(publishedSize) },
    database: { epoch: databaseEpoch, size: Number(databaseSize) },
    lostChanges: lostChanges.map((change) => ({
      recordedAt: timeText(change.recordedAt),
      kind: change.kind,
      actor: change.actor,
      subject: change.subject,
      detail: JSON.parse(change.detail),
      remedy: remedyOf(change).toLowerCase(),
    })),
    incompleteBecause: incompleteBecause || null,
  };
}
