import { hash } from "node:crypto";

/** What two requests have in common if they ask for the same action, whatever their keys. */
export interface Action {
  readonly agentId: string;
  readonly tool: string;
  /** The payload as RFC 8785 JSON. */
  readonly canonicalPayload: string;
  /** On whose behalf the agent acts; null if it does not say. */
  readonly principal: string | null;
}

/**
 * SHA-256, in 64 hex digits, over the RFC 8785 JSON of `{agent, payload, tool}`, and `principal` where there is one. Any language can
 * make the same.
 */
export function requestDigest({ agentId, tool, canonicalPayload, principal }: Action): string {
  // The names are in RFC 8785's order, and JSON.stringify writes well-formed strings as it wants them.
  const behalf = principal === null ? "" : `"principal":${JSON.stringify(principal)},`;
  const text = `{"agent":${JSON.stringify(agentId)},"payload":${canonicalPayload},${behalf}"tool":${JSON.stringify(tool)}}`;
  return hash("sha256", text, "hex");
}

/**
 * The idempotency key of an action that its caller did not name: the same agent, tool, payload and principal make the same key, so that
 * within 24 hours they are one action.
 */
export function derivedKey(action: Action): string {
  return `sha256:${requestDigest(action)}`;
}
