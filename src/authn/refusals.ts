import type { FaultCode } from "../core/fault.ts";
import { parseAuthorization } from "../core/credential.ts";
import { Tally } from "./tally.ts";

/** Distinct (code, claimed agent) pairs that one report distinguishes; the rest is counted together. */
const MAX_DISTINCT = 50;

/** How often a code was answered to callers that claimed to be an agent. The id is their claim, `-` or `*` (many others). */
export type Refused = { readonly code: string; readonly claimedAgentId: string; readonly count: number };

/** What was refused in a period; a JSON value. */
export type RefusalReport = { readonly refused: Refused[] };

/**
 * Counts refused credentials, so that an attack is in the trail without the attacker deciding how many rows it has: one
 * bounded report for each period in which there was any.
 */
export class Refusals {
  readonly #tally = new Tally(MAX_DISTINCT);

  note(code: FaultCode, authorization: string | undefined): void {
    const claimed = authorization === undefined ? null : parseAuthorization(authorization);
    this.#add(code, claimed?.agentId ?? "-", 1);
  }

  /** What was counted since the last call, or null if nothing was. */
  take(): RefusalReport | null {
    const refused = this.#tally.take().map(([name, count]) => {
      const [code, claimedAgentId] = name.split(" ") as [string, string];
      return { code, claimedAgentId, count };
    });
    return refused.length === 0 ? null : { refused };
  }

  /** Counts a report that could not be written down into the next one. */
  putBack(report: RefusalReport): void {
    for (const { code, claimedAgentId, count } of report.refused) this.#add(code, claimedAgentId, count);
  }

  #add(code: string, claimedAgentId: string, count: number): void {
    this.#tally.add(`${code} ${claimedAgentId}`, `${code} *`, count);
  }
}
