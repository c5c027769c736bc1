import type { Micros } from "../../core/clock.ts";
import { toHex } from "../row/row-json.ts";

/** The lines that an export is made of, each with its newline (docs/proof-format.md); those of rows are `row-line.ts`. `export-check.ts` reads them. */

export const EXPORT_FORMAT = "datacrawl.audit.export.v1";

export interface ExportTotals {
  readonly decisions: number;
  readonly events: number;
  readonly payloads: number;
}

export function headerLine(header: {
  readonly log: string;
  /** Null for all from the beginning. */
  readonly from: Micros | null;
  readonly to: Micros;
  readonly payloads: boolean;
  readonly verifierKeys: readonly string[];
}): string {
  const { log, from, to, payloads, verifierKeys } = header;
  return lineOf({ format: EXPORT_FORMAT, log, from, to, payloads, verifier_keys: verifierKeys });
}

export function epochLine(epoch: number): string {
  return lineOf({ epoch });
}

/**
 * Leaves without their rows.
 *
 * @param end the leaf after them
 * @param nodes the hashes of `subtreesOf` from the leaf before to `end`
 */
export function gapLine(end: number, nodes: readonly Uint8Array[]): string {
  return lineOf({ gap: end, nodes: nodes.map(toHex) });
}

/** @param note where the tree has the size that it states */
export function checkpointLine(note: string): string {
  return lineOf({ checkpoint: note });
}

/** @param sha256 in hex, of all bytes before this line */
export function endLine(totals: ExportTotals, sha256: string): string {
  const { decisions, events, payloads } = totals;
  return lineOf({ end: { decisions, events, payloads, sha256 } });
}

function lineOf(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
