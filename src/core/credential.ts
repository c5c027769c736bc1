import { timingSafeEqual } from "node:crypto";
import type { RandomPool } from "./ids.ts";
import { sha256 } from "./sha256.ts";

/** `dc_agent_<agent id>_<key id>_<secret>`: the agent and key ids are public, the secret is 256 random bits in hex. */
export interface Credential {
  readonly agentId: string;
  /** 12 hex digits. */
  readonly keyId: string;
  readonly secret: string;
}

const CREDENTIAL = /^dc_agent_([a-z0-9][a-z0-9.-]{0,62})_([0-9a-f]{12})_([0-9a-f]{64})$/;

/** The credential in an `authorization` header, or null if it holds none of ours. It proves nothing yet. */
export function parseAuthorization(header: string): Credential | null {
  const bearer = bearerOf(header);
  return bearer === null ? null : parseCredential(bearer);
}

/** What an `authorization` header of the scheme Bearer holds, or null. */
export function bearerOf(header: string): string | null {
  return /^bearer +(\S+) *$/i.exec(header)?.[1] ?? null;
}

/** The parts of `dc_agent_…`, or null if it is not of that form. */
export function parseCredential(text: string): Credential | null {
  const match = CREDENTIAL.exec(text);
  if (match === null) return null;
  const [, agentId, keyId, secret] = match as unknown as [string, string, string, string];
  return { agentId, keyId, secret };
}

export function formatCredential({ agentId, keyId, secret }: Credential): string {
  return `dc_agent_${agentId}_${keyId}_${secret}`;
}

export function newCredential(agentId: string, random: RandomPool): Credential {
  return { agentId, keyId: random.take(6).toString("hex"), secret: random.take(32).toString("hex") };
}

/** What is stored of a secret. Plain SHA-256 suffices: 256 random bits cannot be guessed, however fast the hash. */
export function hashSecret(secret: string): Buffer {
  return sha256(secret);
}

export function secretMatches(secret: string, storedHash: Uint8Array): boolean {
  return timingSafeEqual(hashSecret(secret), storedHash);
}
