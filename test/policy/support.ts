import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "../../src/core/json.ts";
import { onTestFinished } from "vitest";
import { Evaluation } from "../../src/policy/cel/evaluation.ts";
import { Failure } from "../../src/policy/cel/value.ts";
import { compileCondition } from "../../src/policy/condition.ts";
import { type Rule, type RuleFiles, readRuleFiles } from "../../src/policy/rule.ts";

const AGENT = "billing-1";
const TOOL = "stripe.refund";

/** What `source` comes to: true, false, or the failure's message; throws if it is refused. */
export function evaluate(source: string, payload: JsonObject = {}, work?: number): boolean | string {
  const compiled = compileCondition(source);
  if (compiled.kind === "refused") throw new Error(compiled.complaints.map(({ message }) => message).join("\n"));
  const outcome = compiled.condition.test(new Evaluation({ agentId: AGENT, tool: TOOL, payload }, work));
  if (outcome instanceof Failure) return outcome.message;
  return typeof outcome === "boolean" ? outcome : `neither true nor false: ${typeof outcome}`;
}

/** The complaints about `source`, as `offset: message`. */
export function complaints(source: string): readonly string[] {
  const compiled = compileCondition(source);
  return compiled.kind === "refused" ? compiled.complaints.map(({ offset, message }) => `${offset}: ${message}`) : [];
}

/** A directory of policy files that goes with the test. */
export async function policyDir(files: Readonly<Record<string, string>>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "datacrawl-policy-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  return dir;
}

/** What one file of rules holds, with the problems in it. */
export function readRules(path: string, text: string): Omit<RuleFiles, "rules"> & { readonly rules: readonly Rule[] } {
  const read = readRuleFiles([{ path, text }]);
  return { ...read, rules: read.rules.map(({ rule }) => rule) };
}
