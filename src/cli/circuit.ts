import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import { Command } from "commander";
import type { GuardCircuit } from "../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { CircuitStateSchema } from "../../gen/datacrawl/authz/v1/authorize_service_pb.ts";
import { withAdmin } from "./admin-client.ts";
import type { Io } from "./io.ts";
import { outJson, outTable, wordOf } from "./output.ts";

/** `datacrawl circuit list`. */
export function circuitCommand(io: Io): Command {
  const command = new Command("circuit").description("Look at the guards' circuits, as they were last reported.");
  command
    .command("list")
    .argument("[agent]", "one agent's; all agents' without it")
    .option("--json", "print a list of circuits")
    .action(async (agentId: string | undefined, flags: { readonly json?: true }) => {
      const { circuits } = await withAdmin(io, (admin) => admin.listCircuits({ agentId: agentId ?? "" }));
      if (flags.json) return outJson(io, circuits.map(jsonOf));
      const rows = circuits.map(jsonOf).map((circuit) => {
        const { agentId, state, cause, consecutiveFailures, nextProbeAt, unsyncedRecords, reportedAt } = circuit;
        return [agentId, state, cause, consecutiveFailures, nextProbeAt, unsyncedRecords, reportedAt].map((cell) =>
          String(cell ?? ""),
        );
      });
      outTable(io, ["AGENT", "STATE", "CAUSE", "FAILURES", "NEXT PROBE", "UNSYNCED", "REPORTED"], rows);
    });
  return command;
}

function jsonOf({
  agentId,
  journalId,
  report,
  reportedAt,
}: GuardCircuit): Record<string, string | number | readonly string[] | null> {
  return {
    agentId,
    journalId,
    state: wordOf(CircuitStateSchema, report?.state ?? 0).toLowerCase(),
    cause: report?.cause ?? "",
    consecutiveFailures: report?.consecutiveFailures ?? 0,
    openedAt: timeOf(report?.openedAt),
    nextProbeAt: timeOf(report?.nextProbeAt),
    lastErrors: report?.lastErrors ?? [],
    unsyncedRecords: Number(report?.unsyncedRecords ?? 0),
    coalescedDenies: Number(report?.coalescedDenies ?? 0),
    reportedAt: timeOf(reportedAt),
  };
}

function timeOf(time: Timestamp | undefined): string | null {
  return time === undefined ? null : timestampDate(time).toISOString();
}
