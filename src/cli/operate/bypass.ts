import { Command } from "commander";
import type { CircuitBypass } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { GUARDS_HAVE_IT, withAdmin } from "../admin-client.ts";
import type { Io } from "../io.ts";
import { outJson, outTable, printable } from "../output.ts";
import { allPages } from "../pages.ts";
import { collect, parseSeconds } from "../parse.ts";
import { timeText } from "../timestamp-text.ts";

interface SetFlags {
  readonly reason: string;
  readonly for: number;
  readonly tool?: readonly string[];
  readonly allTools?: true;
  readonly json?: true;
}

/** `datacrawl bypass set|clear|list`. */
export function bypassCommand(io: Io): Command {
  const command = new Command("bypass");

  command
    .command("set")
    .description("Sign a grant. It replaces the agent's older one. Needs a named operator: --as NAME.")
    .argument("<agent>")
    .requiredOption("--reason <text>", "why, for the audit trail")
    .option("--for <duration>", "such as 30m, 4h, 90s; at most 24h (default: 4h)", parseSeconds, 4 * 3600)
    .option("--tool <name>", "an exact tool name; may be repeated", collect)
    .option("--all-tools", "every tool of the agent")
    .option("--json", "print the grant")
    .action(async (agentId: string, flags: SetFlags) => {
      const duration = { seconds: BigInt(flags.for), nanos: 0 };
      const change = {
        agentId,
        reason: flags.reason,
        duration,
        tools: [...(flags.tool ?? [])],
        allTools: flags.allTools === true,
      };
      const { bypass, guardsHaveIt } = await withAdmin(io, async (admin, answering) => {
        const { bypass } = await admin.setCircuitBypass(change);
        return { bypass, guardsHaveIt: GUARDS_HAVE_IT[answering] };
      });
      if (bypass === undefined) return;
      if (flags.json) return outJson(io, jsonOf(bypass));
      io.out(
        `Granted: ${toolsOf(bypass)} for ${printable(agentId)} until ${timeText(bypass.expiresAt)}, as ${bypass.grantId}.\n`,
      );
      io.err(`It acts only while the agent's own circuit is open. ${guardsHaveIt}`);
    });

  command
    .command("clear")
    .description("Revoke an agent's grant.")
    .argument("<agent>")
    .requiredOption("--reason <text>", "why, for the audit trail")
    .option("--json", "print the grant that was revoked, or null")
    .action(async (agentId: string, flags: { readonly reason: string; readonly json?: true }) => {
      const { bypass } = await withAdmin(io, (admin) => admin.clearCircuitBypass({ agentId, reason: flags.reason }));
      if (flags.json) return outJson(io, bypass === undefined ? null : jsonOf(bypass));
      io.out(bypass === undefined ? NOT_KNOWN : `Revoked ${bypass.grantId}.\n`);
      if (bypass !== undefined) io.err(`An isolated guard uses it until ${timeText(bypass.expiresAt)}.\n`);
    });

  command
    .command("list")
    .description("List grants, newest first.")
    .argument("[agent]", "only this agent's; default: all agents'")
    .option("--past", "also those that expired, or were revoked or replaced")
    .option("--json", "print a list of grants")
    .action(async (agentId: string | undefined, flags: { readonly past?: true; readonly json?: true }) => {
      const grants = await withAdmin(io, (admin) =>
        allPages(
          (page) => admin.listCircuitBypasses({ agentId: agentId ?? "", includePast: flags.past === true, ...page }),
          (listed) => listed.bypasses,
        ),
      );
      if (flags.json) return outJson(io, grants.map(jsonOf));
      const rows = grants.map((grant) => [
        grant.agentId,
        toolsOf(grant),
        timeText(grant.issuedAt),
        timeText(grant.expiresAt),
        grant.revokedAt === undefined ? "" : timeText(grant.revokedAt),
        grant.operator,
        grant.reason,
      ]);
      outTable(io, ["AGENT", "TOOLS", "ISSUED", "EXPIRES", "ENDED", "BY", "REASON"], rows);
    });
  return command;
}

/** The service revokes in any case: what a guard holds may be from before a backup that was restored. */
const NOT_KNOWN =
  "The service knows of no grant in force. It issued a revocation anyway, which ends any grant that a guard may have.\n";

function toolsOf(grant: CircuitBypass): string {
  return grant.allTools ? "all tools" : grant.tools.map(printable).join(", ");
}

function jsonOf(grant: CircuitBypass): Record<string, unknown> {
  const { grantId, agentId, tools, allTools, reason, operator, revokedBy, revokedReason } = grant;
  return {
    grantId,
    agentId,
    tools: allTools ? "*" : tools,
    reason,
    operator,
    epoch: Number(grant.epoch),
    issuedAt: timeText(grant.issuedAt),
    expiresAt: timeText(grant.expiresAt),
    ...(grant.revokedAt === undefined ? {} : { revokedAt: timeText(grant.revokedAt), revokedBy, revokedReason }),
  };
}
