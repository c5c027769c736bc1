import type { Client } from "@connectrpc/connect";
import { Command } from "commander";
import type {
  AdminService,
  GetCircuitResponse,
  GuardCircuit,
} from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { CircuitStateSchema } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { type CircuitOrder, CircuitOrderKindSchema } from "@datacrawl/proto/datacrawl/authz/v1/circuits_pb";
import { GUARDS_HAVE_IT, withAdmin } from "../admin-client.ts";
import type { Io } from "../io.ts";
import { outJson, outTable, printable, wordOf } from "../output.ts";
import { allPages } from "../pages.ts";
import { parseSeconds } from "../parse.ts";
import { timeOrNull } from "../timestamp-text.ts";

interface ChangeFlags {
  readonly reason: string;
  readonly for?: number;
  readonly json?: true;
}

/** How many circuits GetCircuit returns. */
const MOST = 100;

/** `datacrawl circuit list|show|force-open|reset`. */
export function circuitCommand(io: Io): Command {
  const command = new Command("circuit");
  command
    .command("list")
    .description("List circuits as guards last reported them.")
    .argument("[agent]", "only this agent's; default: all agents'")
    .option("--open", "only those that do not let every call pass: open, half open or recovering")
    .option("--json", "print a list of circuits")
    .action(async (agentId: string | undefined, flags: { readonly open?: true; readonly json?: true }) => {
      const query = { agentId: agentId ?? "", excludeClosed: flags.open ?? false };
      const circuits = await withAdmin(io, (admin) =>
        allPages(
          (page) => admin.listCircuits({ ...query, ...page }),
          (page) => page.circuits,
        ),
      );
      if (flags.json) outJson(io, circuits.map(jsonOf));
      else outCircuits(io, circuits);
    });
  command
    .command("show")
    .description("Show an agent's circuits, the last failures, and the operators' commands.")
    .argument("<agent>")
    .option("--json", "print one JSON value")
    .action(async (agentId: string, flags: { readonly json?: true }) => {
      const found = await withAdmin(io, (admin) => admin.getCircuit({ agentId }));
      if (flags.json) outJson(io, detailJson(found));
      else describe(io, found);
      if (found.circuits.length === MOST)
        io.err(`These are the ${MOST} guards that reported last: datacrawl circuit list ${printable(agentId)}\n`);
    });
  command
    .command("force-open")
    .description(
      "Make an agent's guards deny everything at once, as if the service were down. No bypass acts meanwhile.",
    )
    .argument("<agent>")
    .requiredOption("--reason <text>", "why, for the audit trail")
    .option("--for <duration>", "such as 30m, 4h; at most 720h (default: until it is reset)", parseSeconds)
    .option("--json", "print the command")
    .action(async (agentId: string, flags: ChangeFlags) => {
      const duration = flags.for === undefined ? {} : { duration: { seconds: BigInt(flags.for), nanos: 0 } };
      const change = { agentId, reason: flags.reason, ...duration };
      const { order, guardsHaveIt } = await give(io, (admin) => admin.forceOpenCircuit(change));
      if (flags.json) return outJson(io, orderJson(order));
      const until = order?.expiresAt === undefined ? "it is reset" : timeOrNull(order.expiresAt);
      io.out(`The circuits of ${printable(agentId)} are held open until ${until}.\n`);
      io.err(guardsHaveIt);
    });
  command
    .command("reset")
    .description("End a forced opening; otherwise make the next call the probe. It allows nothing by itself.")
    .argument("<agent>")
    .requiredOption("--reason <text>", "why, for the audit trail")
    .option("--json", "print the command")
    .action(async (agentId: string, flags: ChangeFlags) => {
      const { order, guardsHaveIt } = await give(io, (admin) => admin.resetCircuit({ agentId, reason: flags.reason }));
      if (flags.json) return outJson(io, orderJson(order));
      io.out(`The circuits of ${printable(agentId)} are reset.\n`);
      io.err(guardsHaveIt);
    });
  return command;
}

/** Gives an order; and says when guards have it. */
async function give(
  io: Io,
  ask: (admin: Client<typeof AdminService>) => Promise<{ order?: CircuitOrder | undefined }>,
): Promise<{ order: CircuitOrder | undefined; guardsHaveIt: string }> {
  return await withAdmin(io, async (admin, answering) => {
    const { order } = await ask(admin);
    return { order, guardsHaveIt: GUARDS_HAVE_IT[answering] };
  });
}

const HEADINGS = ["AGENT", "STATE", "CAUSE", "FAILURES", "NEXT PROBE", "UNSYNCED", "REPORTED"];

function outCircuits(io: Io, circuits: readonly GuardCircuit[]): void {
  const rows = circuits.map(jsonOf).map((circuit) => {
    const { agentId, state, cause, consecutiveFailures, unsyncedRecords, reportedAt } = circuit;
    return [agentId, state, cause, consecutiveFailures, nextProbe(circuit), unsyncedRecords, reportedAt].map((cell) =>
      String(cell ?? ""),
    );
  });
  outTable(io, HEADINGS, rows);
}

/** A probe that is due waits for a call: nothing probes by itself, and no time is known. */
function nextProbe({ nextProbeAt, reportedAt }: ReturnType<typeof jsonOf>): string | null {
  const isDue = nextProbeAt !== null && reportedAt !== null && nextProbeAt <= reportedAt;
  return isDue ? "with the next call" : nextProbeAt;
}

function describe(io: Io, found: GetCircuitResponse): void {
  const { forced, bypass, orders, circuits } = detailJson(found);
  outCircuits(io, found.circuits);
  for (const { journalId, lastErrors } of circuits)
    for (const error of lastErrors) io.out(`failure  ${printable(`${journalId}  ${error}`)}\n`);
  if (forced !== null)
    io.out(
      `forced   until ${forced.expiresAt ?? "it is reset"}, by ${printable(forced.operator)}: ${printable(forced.reason)}\n`,
    );
  if (bypass !== null)
    io.out(`bypass   until ${bypass.expiresAt}, by ${printable(bypass.operator)}: ${printable(bypass.reason)}\n`);
  for (const { issuedAt, kind, operator, reason } of orders)
    io.out(`ordered  ${issuedAt}  ${kind}  ${printable(operator)}: ${printable(reason)}\n`);
}

function detailJson({ circuits, forced, orders, bypass }: GetCircuitResponse) {
  return {
    circuits: circuits.map(jsonOf),
    forced: forced === undefined ? null : orderJson(forced),
    orders: orders.map(orderJson),
    bypass:
      bypass === undefined
        ? null
        : {
            grantId: bypass.grantId,
            operator: bypass.operator,
            reason: bypass.reason,
            expiresAt: timeOrNull(bypass.expiresAt),
          },
  };
}

function orderJson(order: CircuitOrder | undefined) {
  return {
    agentId: order?.agentId ?? "",
    kind: wordOf(CircuitOrderKindSchema, order?.kind ?? 0).toLowerCase(),
    reason: order?.reason ?? "",
    operator: order?.operator ?? "",
    epoch: Number(order?.epoch ?? 0),
    issuedAt: timeOrNull(order?.issuedAt),
    expiresAt: timeOrNull(order?.expiresAt),
  };
}

function jsonOf({ agentId, journalId, report, reportedAt }: GuardCircuit) {
  return {
    agentId,
    journalId,
    state: wordOf(CircuitStateSchema, report?.state ?? 0).toLowerCase(),
    cause: report?.cause ?? "",
    consecutiveFailures: report?.consecutiveFailures ?? 0,
    openedAt: timeOrNull(report?.openedAt),
    nextProbeAt: timeOrNull(report?.nextProbeAt),
    lastErrors: report?.lastErrors ?? [],
    unsyncedRecords: Number(report?.unsyncedRecords ?? 0),
    coalescedDenies: Number(report?.coalescedDenies ?? 0),
    reportedAt: timeOrNull(reportedAt),
  };
}
