import type { Node } from "yaml";
import type { Micros } from "../core/clock.ts";
import type { ReviewTerms } from "../core/decision.ts";
import { compileCondition, type CompiledCondition, type Condition, type Syntax } from "./condition.ts";
import { type Constant, type Constants, joinConstants, readConstants } from "./constants.ts";
import { readDuration } from "./duration.ts";
import { agentPatternProblem, toolPatternProblem } from "./pattern.ts";
import { readRedactRules } from "./redact-rule.ts";
import type { RedactRule } from "./redaction.ts";
import { readReviewTerms } from "./review-terms.ts";
import { type Entry, type Problem, YamlFile } from "./yaml.ts";

export type Effect = "allow" | "deny" | "needs_review";

/** One rule of a bundle, checked and compiled. */
export interface Rule {
  /** Unique in its bundle; in audit rows and answers. */
  readonly id: string;
  readonly effect: Effect;
  /** Exact names, `prefix.*`, `*.suffix`, `prefix.*.suffix` or `*`. */
  readonly tools: readonly string[];
  /** Exact ids, `prefix*`, or `*`, which stands where the file has no agents. */
  readonly agents: readonly string[];
  /** Agents that the rule is not about, though `agents` names them; as there. */
  readonly exceptAgents: readonly string[];
  readonly condition: Condition;
  /** Why the rule exists, for people; null if the file does not say. */
  readonly description: string | null;
  /** Whether answers, which agents and their models read, name the rule without its description. */
  readonly hidesDescription: boolean;
  /** Of a needs_review rule that says so; null for the default terms. */
  readonly review: ReviewTerms | null;
  /** How long what it allows may run before its outcome is missed; null for the service's own time. */
  readonly executionMicros: Micros | null;
  readonly file: string;
  readonly line: number;
}

/** A rule with its condition as it was parsed, for those who look into what it says. */
export interface WrittenRule {
  readonly rule: Rule;
  readonly syntax: Syntax;
  /** Line and column, from 1, of what stands at `offset` of the condition; without one, of the rule. */
  placeOf(offset?: number): { readonly line: number; readonly column: number };
}

/** What files of rules hold. What has problems is left out, so a caller that sees problems uses none of it. */
export interface RuleFiles {
  readonly rules: readonly WrittenRule[];
  readonly redact: readonly RedactRule[];
  readonly constants: Constants;
  readonly problems: readonly Problem[];
}

const FILE_KEYS: readonly string[] = ["rules", "constants", "redact"];
const RULE_KEYS: readonly string[] = [
  "id",
  "tools",
  "agents",
  "except_agents",
  "effect",
  "when",
  "description",
  "review",
  "execution_timeout",
  "hide_description",
];
const EFFECTS: readonly Effect[] = ["allow", "deny", "needs_review"];
const MAX_ID_LENGTH = 128;
const MAX_EXECUTION_DAYS = 30;

/** Reads files of rules, with every problem in them. Each rule may use the constants of all. */
export function readRuleFiles(texts: readonly { readonly path: string; readonly text: string }[]): RuleFiles {
  const files = texts.map(({ path, text }) => openFile(path, text));
  const { constants, problems } = joinConstants(files.flatMap(({ file, entries }) => constantsIn(file, entries)));
  const rules = files.flatMap(({ file, entries }) => rulesIn(file, entries, constants));
  const redact = files.flatMap(({ file, entries }) => redactIn(file, entries));
  return { rules, redact, constants, problems: [...files.flatMap(({ file }) => file.problems), ...problems] };
}

interface OpenFile {
  readonly file: YamlFile;
  /** Null if the file is no mapping. */
  readonly entries: ReadonlyMap<string, Entry> | null;
}

function openFile(path: string, text: string): OpenFile {
  const file = new YamlFile(path, text);
  const entries = file.problems.length === 0 ? file.mapping(file.root, "a policy file", FILE_KEYS) : null;
  if (entries?.size === 0 && file.problems.length === 0)
    file.refuse(file.root, "the file has no rules; write rules: (or constants: or redact:) with what belongs there");
  return { file, entries };
}

function constantsIn(file: YamlFile, entries: OpenFile["entries"]): Constant[] {
  const entry = entries?.get("constants");
  return entry === undefined ? [] : readConstants(file, entry);
}

function rulesIn(file: YamlFile, entries: OpenFile["entries"], constants: Constants): WrittenRule[] {
  const entry = entries?.get("rules");
  const nodes = entry === undefined ? [] : (file.list(entry, "rules") ?? []);
  return nodes.flatMap((node) => readRule(file, node, constants) ?? []);
}

function redactIn(file: YamlFile, entries: OpenFile["entries"]): RedactRule[] {
  const entry = entries?.get("redact");
  return entry === undefined ? [] : readRedactRules(file, entry);
}

function readRule(file: YamlFile, node: Node | null, constants: Constants): WrittenRule | null {
  const entries = file.mapping(node, "a rule", RULE_KEYS);
  if (entries === null || node === null) return null;
  const id = readId(file, file.required(node, entries, "id", "a name that no other rule has"));
  const tools = readTools(
    file,
    file.required(node, entries, "tools", 'a list, such as [stripe.refund] or ["shell.*"]'),
  );
  const agents = readAgents(file, entries.get("agents"), "agents", ["*"]);
  const exceptAgents = readAgents(file, entries.get("except_agents"), "except_agents", []);
  const effect = readEffect(file, file.required(node, entries, "effect", EFFECTS.join(", ")));
  const when = entries.get("when");
  const compiled = readCondition(file, when, constants);
  const description = readDescription(file, entries.get("description"));
  const hidesDescription = readHideDescription(file, entries.get("hide_description"));
  const review = readReview(file, entries.get("review"), effect);
  const executionMicros = readExecutionTimeout(file, entries.get("execution_timeout"), effect);
  if (id === null || tools === null || agents === null || exceptAgents === null) return null;
  if (effect === null || compiled === null) return null;
  const start = file.placeWithin(node, 0);
  const { condition, syntax } = compiled;
  const says = { description, hidesDescription };
  const rule = { id, tools, agents, exceptAgents, effect, condition, ...says, review, executionMicros };
  return {
    rule: { ...rule, file: file.path, line: start.line },
    syntax,
    placeOf: (offset) => (offset === undefined || !when?.value ? start : file.placeWithin(when.value, offset)),
  };
}

function readId(file: YamlFile, entry: Entry | null): string | null {
  const id = entry === null ? null : file.text(entry.value, "id", entry.key);
  if (id === null || (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(id) && id.length <= MAX_ID_LENGTH)) return id;
  file.refuse(
    entry?.value ?? null,
    `id ${JSON.stringify(id)}; write letters, digits, ".", "_" and "-", at most ${MAX_ID_LENGTH}`,
  );
  return null;
}

function readTools(file: YamlFile, entry: Entry | null): readonly string[] | null {
  return entry === null ? null : file.texts(entry, "tools", toolPatternProblem);
}

function readAgents(
  file: YamlFile,
  entry: Entry | undefined,
  key: string,
  otherwise: readonly string[],
): readonly string[] | null {
  return entry === undefined ? otherwise : file.texts(entry, key, agentPatternProblem);
}

function readEffect(file: YamlFile, entry: Entry | null): Effect | null {
  return entry === null ? null : file.choice(entry, "effect", EFFECTS);
}

/** A rule without `when` always applies. YAML reads a bare `when: true` as a bool, and it means the same. */
function readCondition(
  file: YamlFile,
  entry: Entry | undefined,
  constants: Constants,
): Extract<CompiledCondition, { kind: "condition" }> | null {
  const literal = entry === undefined ? "true" : literalBool(entry.value);
  const source = literal ?? (entry === undefined ? null : file.text(entry.value, "when", entry.key));
  if (source === null) return null;
  const compiled = compileCondition(source, constants);
  if (compiled.kind === "condition") return compiled;
  for (const { offset, message } of compiled.complaints) {
    if (entry?.value) file.refuseWithin(entry.value, offset, message);
  }
  return null;
}

function literalBool(node: Node | null): string | null {
  const value = node !== null && "value" in node ? node.value : null;
  return typeof value === "boolean" ? String(value) : null;
}

function readDescription(file: YamlFile, entry: Entry | undefined): string | null {
  return entry === undefined ? null : (file.text(entry.value, "description", entry.key)?.trim() ?? null);
}

function readHideDescription(file: YamlFile, entry: Entry | undefined): boolean {
  if (entry === undefined) return false;
  const literal = literalBool(entry.value);
  if (literal === null) file.refuse(entry.value ?? entry.key, "hide_description is no bool; write true or false");
  return literal === "true";
}

function readReview(file: YamlFile, entry: Entry | undefined, effect: Effect | null): ReviewTerms | null {
  if (entry === undefined) return null;
  if (effect !== null && effect !== "needs_review")
    file.refuse(entry.key, `review is set in a rule with effect ${effect}; write it only in needs_review rules`);
  return readReviewTerms(file, entry);
}

function readExecutionTimeout(file: YamlFile, entry: Entry | undefined, effect: Effect | null): Micros | null {
  if (entry === undefined) return null;
  if (effect === "deny")
    file.refuse(entry.key, "execution_timeout stands in a rule with effect deny, which lets nothing run; leave it out");
  return readDuration(file, entry, "execution_timeout", MAX_EXECUTION_DAYS);
}
