import type { JsonObject, JsonValue } from "../core/json.ts";
import { isMap, isScalar, isSeq, type Node, type YAMLMap } from "yaml";
import { INEXACT_INTEGER, isExactInteger } from "../core/canonical-json.ts";
import { type Decision, type Judgement, type Reason } from "../core/decision.ts";
import { claimProblem } from "../core/request.ts";
import type { Bundle } from "./bundle.ts";
import type { PolicyDirectory } from "./directory.ts";
import { describe, type Entry, type Problem, YamlFile } from "./yaml.ts";

/** One case of a `*_test.yaml`: a call, and what the rules are to say of it. */
export interface RuleTest {
  readonly name: string;
  readonly agent: string;
  readonly tool: string;
  readonly payload: JsonObject;
  /** Null if the call has none. */
  readonly principal: string | null;
  readonly expect: Decision;
  /** The rule that is to decide; null if the test does not say. */
  readonly rule: string | null;
  readonly reason: Reason | null;
  readonly file: string;
  readonly line: number;
}

export interface RuleTestResult {
  readonly test: RuleTest;
  readonly judgement: Judgement;
  /** What was expected and did not come, each as a sentence; empty if the test passed. */
  readonly failures: readonly string[];
}

export interface RuleTests {
  readonly tests: readonly RuleTest[];
  readonly problems: readonly Problem[];
}

const TEST_KEYS: readonly string[] = ["name", "agent", "principal", "tool", "payload", "expect", "rule", "reason"];
const DECISIONS: readonly Decision[] = ["allow", "deny", "needs_review"];
/** What rules can lead to. */
const REASONS: readonly Reason[] = ["RULE_ALLOWED", "RULE_DENIED", "REVIEW_PENDING", "NO_MATCHING_RULE", "RULE_ERROR"];
/** Stands where a test is about any agent. */
const ANY_AGENT = "any-agent";

/** The tests of every `*_test.yaml` that was read, with every problem in them. */
export function readRuleTests({ tests, testProblems }: PolicyDirectory): RuleTests {
  const read = tests.map(({ path, text }) => readTestFile(path, text));
  return {
    tests: read.flatMap((file) => file.tests),
    problems: [...testProblems, ...read.flatMap((file) => file.problems)],
  };
}

/** Judges a test's call and compares. */
export function runRuleTest(bundle: Bundle, test: RuleTest): RuleTestResult {
  const judgement = bundle.evaluate({
    agentId: test.agent,
    tool: test.tool,
    payload: test.payload,
    principal: test.principal,
  });
  const failures: string[] = [];
  if (judgement.decision !== test.expect) failures.push(`expected ${test.expect}, got ${judgement.decision}`);
  if (test.rule !== null && judgement.ruleId !== test.rule) {
    failures.push(`expected rule ${test.rule}, got ${judgement.ruleId ?? "no rule"}`);
  }
  if (test.reason !== null && judgement.reason !== test.reason) {
    failures.push(`expected reason ${test.reason}, got ${judgement.reason}`);
  }
  return { test, judgement, failures };
}

function readTestFile(path: string, text: string): RuleTests {
  const file = new YamlFile(path, text);
  const tests: RuleTest[] = [];
  const entry =
    file.problems.length === 0 ? file.mapping(file.root, "a test file", ["tests"])?.get("tests") : undefined;
  if (entry !== undefined) {
    for (const node of file.list(entry, "tests") ?? []) {
      const test = readTest(file, node);
      if (test !== null) tests.push(test);
    }
  } else if (file.problems.length === 0) {
    file.refuse(file.root, "the file has no tests; write tests: and a list of them");
  }
  return { tests, problems: file.problems };
}

function readTest(file: YamlFile, node: Node | null): RuleTest | null {
  const entries = file.mapping(node, "a test", TEST_KEYS);
  if (entries === null || node === null) return null;
  const name = readName(file, file.required(node, entries, "name", "what the test shows"), "name");
  const tool = readName(file, file.required(node, entries, "tool", "the tool that is called"), "tool");
  const expect = readWord(file, file.required(node, entries, "expect", DECISIONS.join(", ")), "expect", DECISIONS);
  const payload = readPayload(file, entries.get("payload"));
  const agent = readName(file, entries.get("agent") ?? null, "agent") ?? ANY_AGENT;
  const principal = readPrincipal(file, entries.get("principal"));
  const rule = readName(file, entries.get("rule") ?? null, "rule");
  const reason = readWord(file, entries.get("reason") ?? null, "reason", REASONS);
  if (name === null || tool === null || expect === null || payload === null) return null;
  const { line } = file.placeWithin(node, 0);
  return { name, agent, principal, tool, payload, expect, rule, reason, file: file.path, line };
}

/** What no request can hold tests nothing. */
function readPrincipal(file: YamlFile, entry: Entry | undefined): string | null {
  const principal = readName(file, entry ?? null, "principal");
  const problem = principal === null ? null : claimProblem(principal);
  if (problem !== null) file.refuse(entry?.value ?? null, `principal ${problem}; write one that a request could have`);
  return principal;
}

function readName(file: YamlFile, entry: Entry | null, key: string): string | null {
  return entry === null ? null : file.text(entry.value, key, entry.key);
}

function readWord<Word extends string>(
  file: YamlFile,
  entry: Entry | null,
  key: string,
  words: readonly Word[],
): Word | null {
  return entry === null ? null : file.choice(entry, key, words);
}

/** A payload as YAML writes JSON. A test without one sends `{}`. */
function readPayload(file: YamlFile, entry: Entry | undefined): JsonObject | null {
  if (entry === undefined) return {};
  if (isMap<Node, Node | null>(entry.value)) return readObject(file, entry.value);
  file.refuse(entry.value ?? entry.key, `payload is ${describe(entry.value)}; write a mapping such as {amount: 50}`);
  return null;
}

/** `fromEntries` makes own properties, of `__proto__` too. */
function readObject(file: YamlFile, node: YAMLMap<Node, Node | null>): JsonObject {
  return Object.fromEntries(
    node.items.map(({ key, value }): [string, JsonValue] => {
      const name = isScalar(key) ? key.value : null;
      if (typeof name !== "string") file.refuse(key, `the key ${describe(key)} is not a text; write it in quotes`);
      return [String(name), readJson(file, value)];
    }),
  );
}

function readJson(file: YamlFile, node: Node | null): JsonValue {
  if (isMap<Node, Node | null>(node)) return readObject(file, node);
  if (isSeq<Node>(node)) return node.items.map((item) => readJson(file, item));
  if (node === null) return null;
  const value = isScalar(node) ? node.value : undefined;
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isInteger(value) && !isExactInteger(value)) {
    file.refuse(node, `${describe(node)} ${INEXACT_INTEGER}, so no request has it; write a text`);
    return null;
  }
  if (typeof value === "number" && Number.isFinite(value)) return value;
  file.refuse(node, `${describe(node)} is not JSON; write a text, a number, true, false or null`);
  return null;
}
