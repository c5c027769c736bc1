import { resolve } from "node:path";
import type { JsonObject } from "../../core/json.ts";
import { Command } from "commander";
import type { Decision } from "../../core/decision.ts";
import { type Explanation, inspectDirectory, requireBundle } from "../../policy/bundle.ts";
import { nearTools } from "../../policy/near-tools.ts";
import { readRuleTests, type RuleTestResult, runRuleTest } from "../../policy/rule-test.ts";
import { formatProblem, type Problem } from "../../policy/yaml.ts";
import { withoutService } from "../admin-options.ts";
import { ExitCode, type Io } from "../io.ts";
import { formerly } from "../former-flag.ts";
import { outJson, printable, printableLines } from "../output.ts";
import { parsePayload } from "../payload.ts";
import { readPolicies } from "./policy-files.ts";
import { addServiceCommands } from "./policy-service.ts";

interface Format {
  readonly json?: true;
}

interface CheckOptions extends Format {
  readonly strict?: true;
}

interface ExplainOptions extends Format {
  readonly tool: string;
  readonly payload: JsonObject;
  readonly agent: string;
  readonly principal?: string;
  readonly dir?: string;
}

/**
 * `datacrawl policy check|test|explain`: for those who write rules; they ask no service. `active|versions|test-request` ask the
 * service. Nothing is recorded as a decision.
 */
export function policyCommand(io: Io): Command {
  const command = new Command("policy");
  const checking = command
    .command("check")
    .description(
      "Report every problem of the rule and test files, also rules that can never match or that match too much.",
    )
    .argument("[dir]", "the directory of the rules (default: $DATACRAWL_POLICY_DIR or ./policies)")
    .option("--strict", "fail on warnings, too")
    .option("--json", "print one JSON value")
    .action((dir: string | undefined, options: CheckOptions) => check(io, directory(io, dir), options));
  const testing = command
    .command("test")
    .description("Run the tests in *_test.yaml.")
    .argument("[dir]", "the directory of the rules (default: $DATACRAWL_POLICY_DIR or ./policies)")
    .option("--json", "print one JSON value")
    .action((dir: string | undefined, format: Format) => test(io, directory(io, dir), format));
  const explaining = command
    .command("explain")
    .description("Show what the rules decide for one call, and why. Exits 0 for allow, 2 for deny, 3 for needs_review.")
    .requiredOption("--tool <name>", "the tool that is called")
    .requiredOption("--payload <json>", "its arguments, a JSON object", parsePayload)
    .option("--agent <id>", "the agent that calls", "any-agent")
    .option("--principal <name>", "on whose behalf it acts")
    .option("--dir <dir>", "the directory of the rules (default: $DATACRAWL_POLICY_DIR or ./policies)")
    .option("--json", "print one JSON value")
    .action((options: ExplainOptions) => explain(io, options));
  formerly(explaining, "--policy-dir <dir>", "--dir");
  for (const local of [checking, testing, explaining]) withoutService(local);
  addServiceCommands(command, io);
  return command;
}

function directory(io: Io, given: string | undefined): string {
  const dir = given ?? (io.env["DATACRAWL_POLICY_DIR"] || "policies");
  // Problems name files as the caller would: relative stays relative, unless the command runs elsewhere than its process.
  return io.cwd === process.cwd() ? dir : resolve(io.cwd, dir);
}

async function check(io: Io, dir: string, format: CheckOptions): Promise<void> {
  const directory = await readPolicies(dir, "rules and tests");
  const { bundle, problems: ruleProblems, warnings: found } = inspectDirectory(dir, directory);
  const { tests, problems: testProblems } = readRuleTests(directory);
  const problems = [...ruleProblems, ...testProblems, ...found.filter(({ certain }) => certain).map(placed)];
  const warnings = found.filter(({ certain }) => !certain).map(placed);
  const ok = problems.length === 0 && (format.strict !== true || warnings.length === 0);
  const rules = bundle?.rules.length ?? 0;
  if (format.json) {
    outJson(io, { ok, version: bundle?.version ?? null, rules, tests: tests.length, problems, warnings });
  } else {
    for (const warning of warnings) io.err(`warning: ${printableLines(formatProblem(warning))}\n`);
    for (const problem of problems) io.err(`${printableLines(formatProblem(problem))}\n`);
    if (ok) io.out(`ok: ${rules} rules, ${tests.length} tests, version ${bundle?.version ?? "none"}\n`);
    else if (problems.length === 0) io.err(`${counted(warnings.length, "warning")}, which --strict refuses\n`);
    else io.err(`${counted(problems.length, "problem")}\n`);
  }
  io.exit(ok ? ExitCode.ok : ExitCode.failed);
}

function placed({ file, line, column, message }: Problem): Problem {
  return { file, line, column, message };
}

function counted(count: number, what: string): string {
  return count === 1 ? `1 ${what}` : `${count} ${what}s`;
}

async function test(io: Io, dir: string, format: Format): Promise<void> {
  const directory = await readPolicies(dir, "rules and tests");
  const { bundle, problems: ruleProblems } = inspectDirectory(dir, directory);
  const { tests, problems: testProblems } = readRuleTests(directory);
  const problems = [...ruleProblems, ...testProblems];
  if (problems.length === 0 && tests.length === 0) problems.push(noTests(dir));
  const results = bundle === null ? [] : tests.map((ruleTest) => runRuleTest(bundle, ruleTest));
  const failed = results.filter(({ failures }) => failures.length > 0).length;
  const passed = results.length - failed;
  const ok = failed === 0 && problems.length === 0;
  const deciding = new Set(results.map(({ judgement }) => judgement.ruleId));
  const rules = bundle?.rules ?? [];
  const untested = rules.map(({ id }) => id).filter((id) => !deciding.has(id));
  if (format.json) {
    outJson(io, { ok, passed, failed, rules: rules.length, problems, untested, tests: results.map(testJson) });
  } else {
    for (const problem of problems) io.err(`${printableLines(formatProblem(problem))}\n`);
    for (const result of results) io.out(printableLines(testLine(result)));
    io.out(`${passed} passed, ${failed} failed; ${untested.length} of ${rules.length} rules decide no test\n`);
    if (untested.length > 0) io.out(`rules that decide no test: ${printable(untested.join(", "))}\n`);
  }
  io.exit(ok ? ExitCode.ok : ExitCode.failed);
}

/** A run that tests nothing must not look like one that passed. */
function noTests(dir: string): Problem {
  const message = "there are no tests here; write them into a file such as rules_test.yaml";
  return { file: dir, line: 1, column: 1, message };
}

function testLine({ test: { name, file, line }, judgement, failures }: RuleTestResult): string {
  if (failures.length === 0) return `ok    ${name}\n`;
  return `FAIL  ${name} (${file}:${line}): ${failures.join("; ")}\n      ${judgement.reason}: ${judgement.message}\n`;
}

function testJson({ test: { name, file, line }, judgement, failures }: RuleTestResult): object {
  return { name, file, line, passed: failures.length === 0, failures, ...judgement };
}

async function explain(io: Io, options: ExplainOptions): Promise<void> {
  const { agent: agentId, principal = null, tool, payload } = options;
  const dir = directory(io, options.dir);
  const bundle = requireBundle(inspectDirectory(dir, await readPolicies(dir, "rules")));
  const explanation = bundle.explain({ agentId, tool, payload, principal });
  const redacted = bundle.redaction.pathsOf(tool);
  const patterns = bundle.rules.flatMap(({ tools }) => tools);
  const near = nearTools(patterns, tool);
  if (options.json) outJson(io, { ...explanationJson(explanation), redacted, near });
  else {
    io.out(printableLines(explanationText(explanation, bundle.rules.length, redacted)));
    if (near.length > 0)
      io.err(`No rule names ${printable(tool)}, and case counts. Near it: ${printable(near.join(", "))}\n`);
  }
  io.exit(EXIT_OF[explanation.judgement.decision]);
}

/** Of a constant's text, what is shown to people. */
const MAX_CONSTANT = 500;

const EXIT_OF = {
  allow: ExitCode.ok,
  deny: ExitCode.deny,
  needs_review: ExitCode.needsReview,
} as const satisfies Record<Decision, ExitCode>;

function explanationJson({ judgement, version, findings }: Explanation): object {
  return {
    ...judgement,
    policyVersion: version,
    rules: findings.map(({ rule, outcome }) => ({
      id: rule.id,
      effect: rule.effect,
      file: rule.file,
      line: rule.line,
      when: rule.condition.source,
      constants: Object.fromEntries(rule.condition.constants.map(({ name, value }) => [name, value])),
      agentMatches: outcome !== "skipped",
      outcome: typeof outcome === "object" ? "error" : outcome === "skipped" ? null : outcome,
      error: typeof outcome === "object" ? { message: outcome.message, offset: outcome.offset } : null,
    })),
  };
}

function explanationText(
  { judgement, version, findings }: Explanation,
  ruleCount: number,
  redacted: readonly string[],
): string {
  const lines = findings.flatMap(({ rule, outcome }) => [
    `${rule.effect.padEnd(12)}  ${rule.id}  (${rule.file}:${rule.line})`,
    `  when ${rule.condition.source.trim().replaceAll("\n", "\n       ")}`,
    ...rule.condition.constants.map(({ name, value }) => `  constants.${name} = ${shortened(JSON.stringify(value))}`),
    `  ${outcomeText(outcome)}`,
  ]);
  const others = ruleCount - findings.length;
  return [
    ...lines,
    `${others} of ${ruleCount} rules are for other tools`,
    ...(redacted.length === 0 ? [] : [`stored as digests: ${redacted.join(", ")}`]),
    "",
    `${judgement.decision.toUpperCase()}  ${judgement.reason}: ${judgement.message}`,
    `policy ${version}`,
    "",
  ].join("\n");
}

function shortened(text: string): string {
  return text.length <= MAX_CONSTANT ? text : `${text.slice(0, MAX_CONSTANT)}…`.toWellFormed();
}

function outcomeText(outcome: Explanation["findings"][number]["outcome"]): string {
  if (outcome === "skipped") return "skipped: it is for other agents";
  return typeof outcome === "boolean" ? String(outcome) : `error: ${outcome.message}`;
}
