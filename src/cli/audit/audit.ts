import { Command } from "commander";
import type { AuditDecision, GetDecisionResponse } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { DecisionSchema, ReasonSchema, SourceSchema } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { DECISION_COLUMNS, DECISION_COLUMNS_V2 } from "../../audit/row/record.ts";
import { isoMicros } from "../../core/clock.ts";
import { withAdmin } from "../admin-client.ts";
import { findingJson, findingText, ruleJson } from "./findings.ts";
import { checkCommands } from "./audit-check.ts";
import { eraseCommand } from "./audit-erase.ts";
import { exportCommand } from "./audit-export.ts";
import { proveCommands } from "./audit-prove.ts";
import { retireCommand } from "./audit-retire.ts";
import { addSealCommands } from "./audit-seals.ts";
import { verifyCommands } from "./audit-verify.ts";
import { ExitCode, type Io } from "../io.ts";
import { outJson, printable, wordOf } from "../output.ts";

/** `datacrawl audit …`. */
export function auditCommand(io: Io): Command {
  const command = new Command("audit");
  command
    .command("show", { hidden: true })
    .description("The former name of `datacrawl decision show`.")
    .argument("<decision-id>", "a UUID")
    .option("--json", "print one JSON value")
    .action((decisionId: string, flags: { readonly json?: true }) => showDecision(io, decisionId, flags));
  for (const one of [
    ...verifyCommands(io),
    ...proveCommands(io),
    ...checkCommands(io),
    exportCommand(io),
    eraseCommand(io),
    retireCommand(io),
  ])
    command.addCommand(one);
  addSealCommands(command, io);
  return command;
}

/** Shows a decision's row, its hash, its payload and what is linked with it. */
export async function showDecision(io: Io, decisionId: string, flags: { readonly json?: true }): Promise<void> {
  const response = await withAdmin(io, (admin) => admin.getDecision({ decisionId }));
  const shown = shownOf(response);
  if (flags.json) outJson(io, shown);
  else {
    describe(io, shown);
    explain(io, response);
  }
  if (!shown.hashMatches) io.exit(ExitCode.failed);
}

interface Shown {
  /** As docs/audit-format.md has it, from which the hash is recomputed: its columns in its order; times in microseconds, bytes in hex. */
  readonly row: Record<string, string | number | null>;
  readonly hash: string;
  readonly recomputedHash: string;
  readonly hashMatches: boolean;
  readonly payload: unknown;
  readonly payloadSalt: string | null;
  /** The deciding rule, and every rule about the tool with what its condition saw, as far as that is known. */
  readonly explanation: {
    readonly rule: object | null;
    readonly findings: readonly object[];
    readonly unavailable: string;
  };
  readonly linked: readonly { readonly decisionId: string; readonly recordedAt: string; readonly reason: string }[];
}

function shownOf(response: GetDecisionResponse): Shown {
  const hash = hex(response.storedHash);
  const recomputedHash = hex(response.computedHash);
  return {
    row: rowOf(response.decision as AuditDecision),
    hash,
    recomputedHash,
    hashMatches: hash === recomputedHash,
    payload: response.payload === undefined ? null : (JSON.parse(response.payload) as unknown),
    payloadSalt: response.payloadSalt === undefined ? null : hex(response.payloadSalt),
    explanation: {
      rule: response.explanation?.rule === undefined ? null : ruleJson(response.explanation.rule),
      findings: (response.explanation?.findings ?? []).map(findingJson),
      unavailable: response.explanation?.unavailable ?? "",
    },
    linked: response.linked.map(({ decisionId, recordedAtUs, reason }) => ({
      decisionId,
      recordedAt: isoMicros(Number(recordedAtUs)),
      reason: wordOf(ReasonSchema, reason),
    })),
  };
}

function rowOf(decision: AuditDecision): Shown["row"] {
  const values: Record<string, unknown> = {
    ...decision,
    recordedAt: Number(decision.recordedAtUs),
    decidedAt: Number(decision.decidedAtUs),
    source: wordOf(SourceSchema, decision.source).toLowerCase(),
    decision: wordOf(DecisionSchema, decision.decision).toLowerCase(),
    reason: wordOf(ReasonSchema, decision.reason),
    guardSequence: decision.guardSequence === undefined ? undefined : Number(decision.guardSequence),
  };
  const isVersion2 = decision.principal !== undefined || decision.sessionId !== undefined;
  return Object.fromEntries(
    (isVersion2 ? DECISION_COLUMNS_V2 : DECISION_COLUMNS).map(({ name, field }) => {
      const value = values[field];
      return [name, value instanceof Uint8Array ? hex(value) : ((value ?? null) as string | number | null)];
    }),
  );
}

function describe(io: Io, shown: Shown): void {
  for (const { name, kind } of DECISION_COLUMNS_V2) {
    const value = shown.row[name];
    if (value === null || value === undefined) continue;
    io.out(`${name.padEnd(20)}${printable(kind === "micros" ? isoMicros(Number(value)) : String(value))}\n`);
  }
  io.out(
    `${"payload".padEnd(20)}${shown.payload === null ? "(none, or erased)" : printable(JSON.stringify(shown.payload))}\n`,
  );
  for (const { decisionId, recordedAt, reason } of shown.linked)
    io.out(`${"linked".padEnd(20)}${decisionId}  ${recordedAt}  ${reason}\n`);
  io.out(`${"hash".padEnd(20)}${shown.hash} ${shown.hashMatches ? "(matches the row)" : "(DOES NOT MATCH THE ROW)"}\n`);
}

function explain(io: Io, { explanation }: GetDecisionResponse): void {
  if (explanation === undefined) return;
  const { rule, findings, unavailable } = explanation;
  io.out("\nwhy (computed now; not part of the trail)\n");
  if (findings.length === 0 && rule !== undefined)
    io.out(`${rule.source.split("\n").map(printable).join("\n")}\n  at ${printable(rule.file)}:${rule.line}\n`);
  for (const finding of findings) io.out(findingText(finding));
  if (unavailable !== "") io.out(`not available: ${printable(unavailable)}\n`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
