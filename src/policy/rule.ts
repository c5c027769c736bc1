import type { Node } from "yaml";
import type { ReviewTerms } from "../decision.ts";
import { compileCondition, type Condition } from "./condition.ts";
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
  /** Exact names, `prefix.*`, or `*`. */
  readonly tools: readonly string[];
  /** Exact ids, `prefix*`, or `*`, which stands where the file has no agents. */
  readonly agents: readonly string[];
  readonly condition: Condition;
  /** Why the rule exists, for people; null if the file does not say. */
  readonly description: string | null;
  /** Of a needs_review rule that says so; null for the default terms. */
  readonly review: ReviewTerms | null;
  readonly file: string;
  readonly line: number;
}

/** What a file of rules holds. What has problems is left out, so a caller that sees problems uses none of it. */
export interface RuleFile {
  readonly rules: readonly Rule[];
  readonly redact: readonly RedactRule[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

const FILE_KEYS: readonly string[] = ["rules", "redact"];
const RULE_KEYS: readonly string[] = ["id", "tools", "agents", "effect", "when", "description", "review"];
const EFFECTS: readonly Effect[] = ["allow", "deny", "needs_review"];
const MAX_ID_LENGTH = 128;

/** Reads the rules of one file, with every problem in it. */
export function readRules(path: string, text: string): RuleFile {
  const file = new YamlFile(path, text);
  const rules: Rule[] = [];
  const redact: RedactRule[] = [];
  const warnings: Problem[] = [];
  const entries = file.problems.length === 0 ? file.mapping(file.root, "a policy file", FILE_KEYS) : null;
  const [ruleList, redactList] = [entries?.get("rules"), entries?.get("redact")];
  if (ruleList !== undefined) {
    for (const node of file.list(ruleList, "rules") ?? []) {
      const rule = readRule(file, node, warnings);
      if (rule !== null) rules.push(rule);
    }
  }
  if (redactList !== undefined) redact.push(...readRedactRules(file, redactList));
  if (ruleList === undefined && redactList === undefined && file.problems.length === 0) {
    file.refuse(file.root, "the file has no rules; write rules: (or redact:) and a list of them");
  }
  return { rules, redact, problems: file.problems, warnings };
}

function readRule(file: YamlFile, node: Node | null, warnings: Problem[]): Rule | null {
  const entries = file.mapping(node, "a rule", RULE_KEYS);
  if (entries === null || node === null) return null;
  const id = readId(file, file.required(node, entries, "id", "a name that no other rule has"));
  const tools = readTools(
    file,
    file.required(node, entries, "tools", 'a list, such as [stripe.refund] or ["shell.*"]'),
  );
  const agents = readAgents(file, entries.get("agents"));
  const effect = readEffect(file, file.required(node, entries, "effect", EFFECTS.join(", ")));
  const condition = readCondition(file, entries.get("when"));
  const description = readDescription(file, entries.get("description"));
  const review = readReview(file, entries.get("review"), effect);
  if (id === null || tools === null || agents === null || effect === null || condition === null) return null;
  const rule = {
    id,
    tools,
    agents,
    effect,
    condition,
    description,
    review,
    file: file.path,
    line: file.placeWithin(node, 0).line,
  };
  warnings.push(...missingHas(file, rule, entries.get("when")?.value ?? null));
  return rule;
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

function readAgents(file: YamlFile, entry: Entry | undefined): readonly string[] | null {
  return entry === undefined ? ["*"] : file.texts(entry, "agents", agentPatternProblem);
}

function readEffect(file: YamlFile, entry: Entry | null): Effect | null {
  return entry === null ? null : file.choice(entry, "effect", EFFECTS);
}

/** A rule without `when` always applies. YAML reads a bare `when: true` as a bool, and it means the same. */
function readCondition(file: YamlFile, entry: Entry | undefined): Condition | null {
  const literal = entry === undefined ? "true" : literalBool(entry.value);
  const source = literal ?? (entry === undefined ? null : file.text(entry.value, "when", entry.key));
  if (source === null) return null;
  const compiled = compileCondition(source);
  if (compiled.kind === "condition") return compiled.condition;
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

function readReview(file: YamlFile, entry: Entry | undefined, effect: Effect | null): ReviewTerms | null {
  if (entry === undefined) return null;
  if (effect !== null && effect !== "needs_review")
    file.refuse(entry.key, `review stands in a rule with effect ${effect}; write it in needs_review rules alone`);
  return readReviewTerms(file, entry);
}

/** An allow rule that reads an absent field does not allow, as it should; the others deny what they cannot judge. */
function missingHas(file: YamlFile, rule: Rule, when: Node | null): Problem[] {
  if (rule.effect === "allow" || when === null) return [];
  return rule.condition.unguarded.map(({ offset, message: path }) => ({
    file: file.path,
    ...file.placeWithin(when, offset),
    message: `rule ${rule.id} (${rule.effect}) reads ${path} without has(): a call that lacks it is denied with RULE_ERROR; write !has(${path}) || … if it should match then, has(${path}) && … if not`,
  }));
}
