import { GRANT_KEY_USE, type GrantClaims, type BypassOrder } from "@datacrawl/core/grant";
import { followChain, type KeyLink } from "@datacrawl/core/key-chain";
import { type Micros, isoMicros } from "@datacrawl/core/clock";

/** What a guard knows of its agent's grants, and what follows from it. Pure. */
export interface GrantState {
  /** The grant keys as followed, oldest first; the last is the pinned one. Empty: nothing is pinned. */
  readonly keys: readonly KeyLink[];
  /** The service has shown keys that do not continue the pinned one, so one of the two is not what it seems. */
  readonly isContested: boolean;
  /** The highest epoch seen. INVARIANT: never falls. */
  readonly epoch: number;
  /** The order of that epoch, verified with the pinned key; null if it is not at hand. */
  readonly newest: { readonly token: string; readonly order: BypassOrder } | null;
}

export const NOTHING_KNOWN: GrantState = { keys: [], isContested: false, epoch: 0, newest: null };

/** The grant that covers `tool` at `now`, or why none does. */
export function grantFor(
  { isContested, newest }: GrantState,
  tool: string,
  now: Micros,
): { readonly grant: GrantClaims } | { readonly problem: string } {
  if (isContested) return { problem: "the service's grant keys do not continue the pinned one" };
  if (newest === null) return { problem: "there is no grant for this agent" };
  if (newest.order.kind === "revocation") return { problem: "the agent's grant was revoked" };
  const grant = newest.order.claims;
  if (now < grant.issuedAt) return { problem: `the grant is not valid before ${isoMicros(grant.issuedAt)}` };
  if (now >= grant.expiresAt) return { problem: `the grant expired at ${isoMicros(grant.expiresAt)}` };
  if (grant.tools !== "*" && !grant.tools.includes(tool)) return { problem: "the grant does not cover this tool" };
  return { grant };
}

export function pinnedKey({ keys }: GrantState): Uint8Array | null {
  return keys.at(-1)?.publicKey ?? null;
}

/** `state` after a chain of keys that it may trust as far as it continues the pinned one, or any if nothing is pinned. */
export function withKeys(
  state: GrantState,
  unverifiedChain: readonly KeyLink[],
): { readonly state: GrantState; readonly problem: string | null } {
  const pinned = pinnedKey(state);
  const followed = followChain(GRANT_KEY_USE, pinned, unverifiedChain);
  if ("problem" in followed) return { state, problem: followed.problem };
  if (pinned !== null && Buffer.compare(pinned, followed.newest) === 0) return { state, problem: null };
  // What the old key signed ends with it: a key is changed because it may be in other hands.
  return { state: { ...state, keys: [...unverifiedChain], newest: null }, problem: null };
}

/** `state` after an order for this agent that the pinned key signed. Within one epoch a revocation wins, else the first. */
export function withOrder(state: GrantState, token: string, order: BypassOrder): GrantState {
  const { epoch } = order.kind === "grant" ? order.claims : order;
  if (epoch < state.epoch) return state;
  if (epoch === state.epoch && state.newest !== null && order.kind !== "revocation") return state;
  return { ...state, epoch, newest: { token, order } };
}
