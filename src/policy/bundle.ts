import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { JsonObject } from "../core/json.ts";
import type { Micros } from "../core/clock.ts";
import type { Judgement } from "../core/decision.ts";
import { UsageError } from "../core/fault.ts";
import type { Subject } from "./cel/evaluation.ts";
import { type PolicyDirectory, readPolicyDirectory } from "./directory.ts";
import { Engine, type Finding } from "./engine.ts";
import { lintRules } from "./lint/lint.ts";
import { Redaction } from "./redaction.ts";
import { readRuleFiles, type Rule, type RuleFiles } from "./rule.ts";
import { readRuleTests, type RuleTest } from "./rule-test.ts";
import { formatProblem, type Problem } from "./yaml.ts";

/** What a policy decides about. The payload is within the request's limits, and otherwise whatever the agent sent. */
export interface PolicyInput {
  readonly agentId: string;
  readonly tool: string;
  readonly payload: JsonObject;
  /** On whose behalf the agent acts; absent or null if it does not say. */
  readonly principal?: string | null;
}

/** A file of rules, by its name without directories. */
export interface PolicyFile {
  readonly name: string;
  readonly text: string;
}

/** A version of the policies, as it was when a service first used it. */
export interface StoredBundle {
  readonly version: string;
  readonly files: readonly PolicyFile[];
  readonly firstSeen: Micros;
}

export interface Explanation {
  readonly judgement: Judgement;
  readonly version: string;
  /** In the order in which rules are asked: deny, needs_review, allow. */
  readonly findings: readonly Finding[];
}

/** Something that keeps no bundle from coming into force. */
export interface Warning extends Problem {
  /** Certainly not what its author meant, so that `policy check` fails; but it leaves nothing open. */
  readonly certain: boolean;
}

/** All that reading a directory gave. `bundle` is null if there is any problem. */
export interface Inspection {
  readonly bundle: Bundle | null;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Warning[];
}

/**
 * Loads every `*.yaml` of `dir` but `*_test.yaml`.
 *
 * @throws UsageError with every problem of every file, as `file:line:column: what was wrong; what to write instead`.
 */
export async function loadBundle(dir: string): Promise<Bundle> {
  return requireBundle(await inspectPolicies(dir));
}

/** @throws UsageError as {@link loadBundle} does */
export function requireBundle({ bundle, problems }: Inspection): Bundle {
  if (bundle === null) throw new UsageError(problems.map(formatProblem));
  return bundle;
}

/** Reads `dir` as {@link loadBundle} does, and hands over the problems and warnings. */
export async function inspectPolicies(dir: string): Promise<Inspection> {
  return inspectDirectory(dir, readPolicyDirectory(dir));
}

/** The same for what was read of `dir`. */
export function inspectDirectory(dir: string, directory: PolicyDirectory): Inspection {
  const { tests } = readRuleTests(directory);
  const inspection = lint(compile(directory.rules, dir, directory.problems), tests);
  const unread = directory.warnings.map((warning) => ({ ...warning, certain: false }));
  return { ...inspection, warnings: [...unread, ...inspection.warnings] };
}

/** The same for files that are at hand. */
export function inspectFiles(files: readonly PolicyFile[]): Inspection {
  return lint(compileFiles(files), []);
}

/** A bundle that came into force at some time, or null. It is not linted: what it decided stays explainable, whatever is thought of it now. */
export function readStoredBundle(files: readonly PolicyFile[]): Bundle | null {
  return compileFiles(files).bundle;
}

interface CompiledFiles {
  readonly bundle: Bundle | null;
  readonly problems: readonly Problem[];
  readonly read: RuleFiles;
}

function compileFiles(files: readonly PolicyFile[]): CompiledFiles {
  return compile(
    files.map(({ name, text }) => ({ path: name, text })),
    "policies",
    [],
  );
}

function lint({ bundle, problems, read }: CompiledFiles, tests: readonly RuleTest[]): Inspection {
  const findings = lintRules(read, tests);
  const holes = findings.filter(({ severity }) => severity === "hole");
  const others = findings.filter(({ severity }) => severity !== "hole");
  const warnings = others.map(({ severity, ...warning }) => ({ ...warning, certain: severity === "error" }));
  return {
    bundle: holes.length > 0 ? null : bundle,
    problems: [...problems, ...holes.map(({ file, line, column, message }) => ({ file, line, column, message }))],
    warnings,
  };
}

/** @param earlier problems that there are already */
function compile(
  files: readonly { readonly path: string; readonly text: string }[],
  dir: string,
  earlier: readonly Problem[],
): CompiledFiles {
  const read = readRuleFiles(files);
  const rules = read.rules.map(({ rule }) => rule);
  const problems = [...earlier, ...read.problems, ...repeatedIds(rules)];
  if (rules.length === 0 && problems.length === 0) {
    problems.push(
      problemOf(dir, "there are no rules here, so every call would be denied; write a file such as rules.yaml"),
    );
  }
  const named = files.map(({ path, text }) => ({ name: basename(path), text }));
  return { bundle: problems.length === 0 ? new Bundle(read, named) : null, problems, read };
}

/** A directory of rules, checked and compiled whole. Immutable. */
export class Bundle {
  /** `sha256:` and 64 hex digits: the digest of what rules and redactions say, so that comments and line breaks do not change it. */
  readonly version: string;
  readonly rules: readonly Rule[];
  /** What it was read from. */
  readonly files: readonly PolicyFile[];
  /** What of a payload must not be stored. */
  readonly redaction: Redaction;
  readonly #engine: Engine;
  readonly #executionMicros: ReadonlyMap<string, Micros | null>;

  constructor(read: RuleFiles, files: readonly PolicyFile[]) {
    const rules = read.rules.map(({ rule }) => rule);
    this.version = versionOf(read);
    this.rules = rules;
    this.files = files;
    this.redaction = new Redaction(read.redact);
    this.#engine = new Engine(rules);
    this.#executionMicros = new Map(rules.map(({ id, executionMicros }) => [id, executionMicros]));
  }

  /** How long what the rule allows may run before its outcome is missed; null if the rule does not say, or is not here. */
  executionMicrosOf(ruleId: string): Micros | null {
    return this.#executionMicros.get(ruleId) ?? null;
  }

  /** Never throws: what cannot be decided is denied. */
  evaluate(input: PolicyInput): Judgement {
    return this.#engine.judge(subjectOf(input));
  }

  /** False if {@link evaluate} denies the agent's calls of the tool in any case, by what the rules say of themselves. */
  isCallable(subject: Pick<PolicyInput, "agentId" | "tool">): boolean {
    return this.#engine.isCallable(subject);
  }

  /** The same judgement, with every rule about the tool and what its condition came to. */
  explain(input: PolicyInput): Explanation {
    const subject = subjectOf(input);
    return { judgement: this.#engine.judge(subject), version: this.version, findings: this.#engine.findings(subject) };
  }
}

/** JSON's values are among CEL's; the payload is neither copied nor changed. */
function subjectOf({ agentId, tool, payload, principal = null }: PolicyInput): Subject {
  return { agentId, tool, payload, principal };
}

function versionOf({ rules, redact, constants }: RuleFiles): string {
  const content = rules.map(({ rule }) => [
    rule.id,
    rule.effect,
    rule.tools,
    rule.agents,
    rule.condition.source,
    rule.description,
    // Nothing where a rule says nothing, so that bundles from before there were such keys keep their versions.
    ...(rule.review === null ? [] : [rule.review]),
    ...(rule.exceptAgents.length === 0 ? [] : [{ exceptAgents: rule.exceptAgents }]),
    ...(rule.hidesDescription ? [{ hidesDescription: true }] : []),
    ...(rule.executionMicros === null ? [] : [{ executionMicros: rule.executionMicros }]),
  ]);
  const redacted = redact.map(({ tools, paths }) => [tools, paths.map(({ source }) => source)]);
  const values = [...constants.values()].map(({ name, value }) => [name, value]);
  const more = [...(redact.length === 0 ? [] : [redacted]), ...(values.length === 0 ? [] : [{ constants: values }])];
  return `sha256:${createHash("sha256")
    .update(JSON.stringify(["datacrawl.policy.v1", content, ...more]))
    .digest("hex")}`;
}

function repeatedIds(rules: readonly Rule[]): Problem[] {
  const first = new Map<string, Rule>();
  return rules.flatMap((rule) => {
    const other = first.get(rule.id);
    if (other === undefined) {
      first.set(rule.id, rule);
      return [];
    }
    const message = `rule id "${rule.id}" is already used at ${other.file}:${other.line}; write another`;
    return [{ file: rule.file, line: rule.line, column: 1, message }];
  });
}

function problemOf(file: string, message: string): Problem {
  return { file, line: 1, column: 1, message };
}
