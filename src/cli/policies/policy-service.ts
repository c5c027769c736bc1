import { basename, resolve } from "node:path";
import type { Command } from "commander";
import type { JsonObject } from "../../core/json.ts";
import { Decision, DecisionSchema, ReasonSchema } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { PolicyVersion, TestPolicyResponse } from "@datacrawl/proto/datacrawl/authz/v1/policies_pb";
import { formatProblem } from "../../policy/yaml.ts";
import { UsageError } from "../../core/fault.ts";
import { withAdmin } from "../admin-client.ts";
import { findingJson, findingText, ruleJson } from "../audit/findings.ts";
import { ExitCode, type Io } from "../io.ts";
import { outJson, outTable, printable, wordOf } from "../output.ts";
import { allPages } from "../pages.ts";
import { parsePayload } from "../payload.ts";
import { readPolicies } from "./policy-files.ts";
import { timeText } from "../timestamp-text.ts";

interface TestFlags {
  readonly tool: string;
  readonly payload: JsonObject;
  readonly agent: string;
  readonly principal?: string;
  readonly policyVersion?: string;
  readonly dir?: string;
  readonly json?: true;
}

/** `datacrawl policy active|versions|test-request`. */
export function addServiceCommands(command: Command, io: Io): void {
  command
    .command("active")
    .description("Show the policies that the service has in force, or an earlier version of them.")
    .option("--policy-version <version>", 'an earlier version, "sha256:…"')
    .option("--json", "print one JSON value, with the files' text")
    .action((flags: { readonly policyVersion?: string; readonly json?: true }) => showPolicies(io, flags));
  command
    .command("versions")
    .description("List the versions of the policies that services have used, newest first.")
    .option("--json", "print a list of versions")
    .action(async (flags: { readonly json?: true }) => {
      const versions = await allVersions(io);
      if (flags.json) return outJson(io, versions.map(versionJson));
      const rows = versions.map((one) => [timeText(one.firstSeen), one.active ? "active" : "", one.version]);
      outTable(io, ["FIRST SEEN", "", "VERSION"], rows);
    });
  command
    .command("test-request")
    .description(
      "Ask the service what its policies say about a request, without making a decision. Exits 0 allow, 2 deny, 3 needs_review.",
    )
    .requiredOption("--tool <name>", "the tool that is called")
    .requiredOption("--payload <json>", "its arguments, a JSON object", parsePayload)
    .option("--agent <id>", "the agent that calls", "any-agent")
    .option("--principal <name>", "on whose behalf it acts")
    .option("--policy-version <version>", "policies that a service has used; without it those in force")
    .option("--dir <dir>", "policies of this directory; at most 64 KiB")
    .option("--json", "print one JSON value")
    .action((flags: TestFlags) => testRequest(io, flags));
}

async function showPolicies(io: Io, flags: { readonly policyVersion?: string; readonly json?: true }): Promise<void> {
  const found = await withAdmin(io, (admin) => admin.getPolicies({ version: flags.policyVersion ?? "" }));
  const { version, active, problem, firstSeen, files, rules } = found;
  if (flags.json) {
    const named = files.map(({ name, text }) => ({ name, text }));
    outJson(io, { version, active, problem, firstSeen: timeText(firstSeen), files: named, rules: rules.map(ruleJson) });
    return;
  }
  io.out(`${printable(version)}  ${active ? "in force" : "not in force"}, first seen ${timeText(firstSeen)}\n`);
  if (problem !== "") io.err(`Newer files are not in force: ${problem.split("\n").map(printable).join("\n")}\n`);
  const cells = rules.map((rule) => [
    rule.ruleId,
    rule.effect,
    rule.tools.join(" "),
    [...rule.agents, ...rule.exceptAgents.map((agent) => `except ${agent}`)].join(" "),
    `${rule.file}:${rule.line}`,
  ]);
  outTable(io, ["RULE", "EFFECT", "TOOLS", "AGENTS", "AT"], cells);
}

async function allVersions(io: Io): Promise<PolicyVersion[]> {
  return await withAdmin(io, (admin) =>
    allPages(
      (page) => admin.listPolicyVersions(page),
      (listed) => listed.versions,
    ),
  );
}

async function testRequest(io: Io, flags: TestFlags): Promise<void> {
  const files = flags.dir === undefined ? [] : await filesOf(io, flags.dir);
  const { agent: agentId, principal, tool, payload, policyVersion: version = "" } = flags;
  const request = { files, version, agentId, tool, payload, ...(principal !== undefined && { principal }) };
  const tried = await withAdmin(io, (admin) => admin.testPolicy(request));
  if (flags.json) outJson(io, trialJson(tried));
  else if (tried.problems.length === 0) describe(io, tried);
  for (const problem of tried.problems) io.err(`${printable(problem)}\n`);
  io.exit(tried.problems.length > 0 ? ExitCode.failed : (EXIT.get(tried.decision) ?? ExitCode.failed));
}

const EXIT: ReadonlyMap<Decision, ExitCode> = new Map([
  [Decision.ALLOW, ExitCode.ok],
  [Decision.DENY, ExitCode.deny],
  [Decision.NEEDS_REVIEW, ExitCode.needsReview],
]);

async function filesOf(io: Io, dir: string): Promise<{ name: string; text: string }[]> {
  const { rules, problems } = await readPolicies(resolve(io.cwd, dir), "rules");
  if (problems.length > 0) throw new UsageError(problems.map(formatProblem));
  return rules.map(({ path, text }) => ({ name: basename(path), text }));
}

function describe(io: Io, tried: TestPolicyResponse): void {
  const { decision, reason, message, policyVersion } = trialJson(tried);
  for (const finding of tried.findings) io.out(findingText(finding));
  io.out(`\n${decision.toUpperCase()}  ${reason}: ${printable(message)}\npolicy ${printable(policyVersion)}\n`);
}

function trialJson({ decision, reason, message, ruleId, policyVersion, findings, problems }: TestPolicyResponse) {
  return {
    decision: wordOf(DecisionSchema, decision).toLowerCase(),
    reason: wordOf(ReasonSchema, reason),
    message,
    ruleId: ruleId === "" ? null : ruleId,
    policyVersion,
    findings: findings.map(findingJson),
    problems,
  };
}

function versionJson({ version, firstSeen, active }: PolicyVersion) {
  return { version, firstSeen: timeText(firstSeen), active };
}
