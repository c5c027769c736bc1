import type { Stream } from "../log/leaf.ts";

/** What a verification can find wrong. docs/audit.md says which attack shows as which. */
export const CHECKS = [
  "row_hash",
  "row_missing",
  "row_unsealed",
  "payload",
  "leaf",
  "seal_missing",
  "seal_repeated",
  "node",
  "root",
  "checkpoint",
  "published",
] as const;
export type Check = (typeof CHECKS)[number];

/** Something wrong, as exactly as it can be named. */
export interface Finding {
  readonly check: Check;
  /** The row at fault; absent where a check is about more than one. */
  readonly stream?: Stream;
  readonly id?: string;
  /** Of the row, microseconds. */
  readonly recordedAt?: number;
  readonly epoch?: number;
  readonly seq?: number;
  /** For people: what was expected, and which rows it may be if there are several. */
  readonly detail: string;
}

/** Findings beyond these are counted, not kept. */
export const KEPT_FINDINGS = 1000;
