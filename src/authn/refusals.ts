import type { JsonObject } from "@bufbuild/protobuf";
import type { FaultCode } from "../fault.ts";
import { parseAuthorization } from "./credential.ts";

/** Distinct (code, claimed agent) pairs that one report tells apart; the rest is counted together. */
const MAX_DISTINCT = 50;

/**
 * Counts refused credentials, so that an attack is in the trail without the attacker deciding how many rows it has: one
 * bounded report for each period in which there was any.
 */
export class Refusals {
  #counts = new Map<string, number>();

  note(code: FaultCode, authorization: string | undefined): void {
    const claimed = authorization === undefined ? null : parseAuthorization(authorization);
    const name = `${code} ${claimed?.agentId ?? "-"}`;
    const counted = this.#counts.has(name) || this.#counts.size < MAX_DISTINCT ? name : `${code} *`;
    this.#counts.set(counted, (this.#counts.get(counted) ?? 0) + 1);
  }

  /** What was counted since the last call, or null if nothing was. Agent ids in it are the callers' claims. */
  take(): JsonObject | null {
    if (this.#counts.size === 0) return null;
    const refused = [...this.#counts].map(([name, count]) => {
      const [code, claimedAgentId] = name.split(" ") as [string, string];
      return { code, claimedAgentId, count };
    });
    this.#counts = new Map();
    return { refused };
  }
}
