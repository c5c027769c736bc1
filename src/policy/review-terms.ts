import { isScalar, type Node } from "yaml";
import type { Micros } from "../core/clock.ts";
import type { ReviewTerms } from "../core/decision.ts";
import { readDuration } from "./duration.ts";
import { describe, type Entry, type YamlFile } from "./yaml.ts";

const SECOND = 1_000_000;
const TERM_KEYS = ["approvers", "approval_for", "expires_after"] as const;
const MAX_APPROVERS = 10;
const MAX_DAYS = { approval_for: 7, expires_after: 30 } as const;

/** Of a rule that says nothing about its reviews. */
export const DEFAULT_TERMS: ReviewTerms = {
  approvers: 1,
  approvalMicros: 3600 * SECOND,
  expiryMicros: 24 * 3600 * SECOND,
};

/** The `review` of a rule, or null with a problem. What it leaves out is the default. */
export function readReviewTerms(file: YamlFile, entry: Entry): ReviewTerms | null {
  const entries = file.mapping(entry.value, "review", TERM_KEYS);
  if (entries === null) return null;
  const approvers = readApprovers(file, entries.get("approvers"));
  const approvalMicros = termOf(file, entries.get("approval_for"), "approval_for", DEFAULT_TERMS.approvalMicros);
  const expiryMicros = termOf(file, entries.get("expires_after"), "expires_after", DEFAULT_TERMS.expiryMicros);
  if (approvers === null || approvalMicros === null || expiryMicros === null) return null;
  return { approvers, approvalMicros, expiryMicros };
}

/** What satisfies each of `terms`: where several rules ask for a review, none of them is weakened by another. */
export function strictest(terms: readonly ReviewTerms[]): ReviewTerms {
  return {
    approvers: Math.max(...terms.map(({ approvers }) => approvers)),
    approvalMicros: Math.min(...terms.map(({ approvalMicros }) => approvalMicros)),
    expiryMicros: Math.min(...terms.map(({ expiryMicros }) => expiryMicros)),
  };
}

function readApprovers(file: YamlFile, entry: Entry | undefined): number | null {
  if (entry === undefined) return DEFAULT_TERMS.approvers;
  const value = scalarOf(entry.value);
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= MAX_APPROVERS) return value;
  file.refuse(
    entry.value ?? entry.key,
    `approvers is ${describe(entry.value)}; write a whole number from 1 to ${MAX_APPROVERS}`,
  );
  return null;
}

function termOf(
  file: YamlFile,
  entry: Entry | undefined,
  key: keyof typeof MAX_DAYS,
  otherwise: Micros,
): Micros | null {
  return entry === undefined ? otherwise : readDuration(file, entry, key, MAX_DAYS[key]);
}

function scalarOf(node: Node | null): unknown {
  return isScalar(node) && node.anchor === undefined ? node.value : undefined;
}
