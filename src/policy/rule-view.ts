import type { JsonValue } from "../core/json.ts";
import { basename } from "node:path";
import { canonicalJson } from "../core/canonical-json.ts";
import type { Judgement } from "../core/decision.ts";
import type { Bundle, PolicyFile, PolicyInput } from "./bundle.ts";
import { PRINCIPAL } from "./cel/scope.ts";
import type { ConstantValue } from "./constants.ts";
import type { Finding } from "./engine.ts";
import { stepAt } from "./payload-path.ts";
import { isMark } from "./redaction.ts";
import type { Effect, Rule } from "./rule.ts";

/** A rule as it was written. Plain data, as all of this file's types. */
export interface RuleView {
  readonly ruleId: string;
  readonly effect: Effect;
  readonly tools: readonly string[];
  readonly agents: readonly string[];
  readonly exceptAgents: readonly string[];
  readonly when: string;
  readonly description: string;
  /** Without directories. */
  readonly file: string;
  readonly line: number;
  /** Its lines of the file, up to the next rule. */
  readonly source: string;
}

export interface FindingView {
  readonly rule: RuleView;
  readonly outcome: "matched" | "not_matched" | "error" | "other_agents";
  readonly error: string;
  readonly values: readonly ReadValue[];
}

/** What a condition reads of a payload, and null if the payload lacks it; or what a constant stands for. */
export interface ReadValue {
  readonly path: string;
  readonly value: string | null;
}

export interface Trial {
  readonly judgement: Judgement;
  readonly version: string;
  readonly findings: readonly FindingView[];
}

const MAX_VALUE = 500;

/** What `bundle` makes of a request, and why. */
export function tryPolicy(bundle: Bundle, request: PolicyInput): Trial {
  const { judgement, version, findings } = bundle.explain(request);
  const shown = bundle.redaction.shown(request.tool, request.payload);
  return {
    judgement,
    version,
    findings: findings.map((finding) => findingView(bundle, finding, shown, request.principal ?? null)),
  };
}

export function ruleView({ files, rules }: Bundle, rule: Rule): RuleView {
  const { id, effect, tools, agents, exceptAgents, condition, description, line } = rule;
  const file = basename(rule.file);
  const others = rules.filter((other) => basename(other.file) === file && other.line > line);
  const end = Math.min(...others.map((other) => other.line));
  return {
    ruleId: id,
    effect,
    tools,
    agents,
    exceptAgents,
    when: condition.source,
    description: description ?? "",
    file,
    line,
    source: linesOf(files, file, line, end),
  };
}

function linesOf(files: readonly PolicyFile[], name: string, from: number, to: number): string {
  const text = files.find((file) => file.name === name)?.text ?? "";
  return text
    .split("\n")
    .slice(from - 1, to === Number.POSITIVE_INFINITY ? undefined : to - 1)
    .join("\n")
    .trimEnd();
}

function findingView(
  bundle: Bundle,
  { rule, outcome }: Finding,
  payload: JsonValue,
  principal: string | null,
): FindingView {
  const error = typeof outcome === "object" ? outcome.message : "";
  const word = typeof outcome === "object" ? "error" : outcome === "skipped" ? "other_agents" : null;
  return {
    rule: ruleView(bundle, rule),
    outcome: word ?? (outcome === true ? "matched" : "not_matched"),
    error,
    values: outcome === "skipped" ? [] : valuesOf(rule, payload, principal),
  };
}

function valuesOf({ condition }: Rule, payload: JsonValue, principal: string | null): ReadValue[] {
  return [
    ...condition.reads.map((path) => {
      if (path !== PRINCIPAL) return { path, value: valueAt(payload, path) };
      return { path, value: principal === null ? null : shortened(principal, path) };
    }),
    ...condition.constants.map(({ name, value }) => ({ path: `constants.${name}`, value: shortened(value, name) })),
  ];
}

/** A mark stands for all that is in the redacted value. */
function valueAt(payload: JsonValue, path: string): string | null {
  let value: JsonValue | undefined = payload;
  for (let next = stepAt(path, "payload".length); next !== null; next = stepAt(path, next.end)) {
    if (isMark(value)) break;
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, next.step)) return null;
    value = (value as Readonly<Record<PropertyKey, JsonValue>>)[next.step];
  }
  if (value === undefined) return null;
  return shortened(value, path);
}

function shortened(value: JsonValue | ConstantValue, path: string): string {
  const text = canonicalJson(value as JsonValue, path, 64);
  return text.length <= MAX_VALUE ? text : `${text.slice(0, MAX_VALUE)}…`.toWellFormed();
}
