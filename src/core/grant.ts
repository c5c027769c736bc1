import { sign, verify } from "node:crypto";
import type { Micros } from "./clock.ts";
import { type KeyUse, publicKeyObject, type SigningKey } from "./key-chain.ts";
import {
  arrayOf,
  type Check,
  type Checked,
  either,
  isCount,
  isPositive,
  isString,
  isUuid,
  literal,
  object,
} from "./shape.ts";

/**
 * Circuit-bypass orders as they travel: compact JWS that the service signs and a guard verifies offline. The layout and what
 * it protects against are in docs/grants.md. (One pinned algorithm and one pinned type, checked before anything else: after
 * RFC 8725, JSON Web Token Best Current Practices.)
 */

/** The keys that sign circuit-bypass orders. Guards pin the first that they see, and follow the chain from there. */
export const GRANT_KEY_USE: KeyUse = { label: "grant key", linkDomain: "datacrawl.grantkey.v1" };

export interface GrantClaims {
  /** UUID; in the audit trail of everything that the grant allowed. */
  readonly grantId: string;
  readonly agentId: string;
  /** Exact tool names, 1 to 100, each 1 to 256 bytes; or every tool. */
  readonly tools: readonly string[] | "*";
  /** Who set it, 1 to 256 characters. */
  readonly operator: string;
  /** Why, 1 to 500 characters. */
  readonly reason: string;
  readonly issuedAt: Micros;
  /** Later than `issuedAt`, by at most {@link MAX_BYPASS_MICROS}. */
  readonly expiresAt: Micros;
  /** Grows with every order for the agent; at least 1. */
  readonly epoch: number;
}

interface Revocation {
  readonly agentId: string;
  readonly issuedAt: Micros;
  /** After which it may be forgotten, because every grant below its epoch has expired. */
  readonly expiresAt: Micros;
  /** Every grant with a lower epoch is void. */
  readonly epoch: number;
}

/** What a guard follows: of all orders for its agent, the one with the highest epoch. */
export type BypassOrder =
  | { readonly kind: "grant"; readonly claims: GrantClaims }
  | ({ readonly kind: "revocation" } & Revocation);

export interface BypassOrderProblem {
  readonly problem: string;
}

/** No order lives longer than 24 hours: it bounds what a guard that nothing can reach goes on honouring. */
export const MAX_BYPASS_MICROS: Micros = 24 * 60 * 60 * 1_000_000;

/** Longest token, in characters: the largest grant (100 tools of 256 bytes) with room to spare. */
const MAX_TOKEN_LENGTH = 65_536;

const HEADER = { alg: "EdDSA", typ: "datacrawl-grant+jwt" } as const;
const ENCODED_HEADER = Buffer.from(JSON.stringify(HEADER)).toString("base64url");

/**
 * `order` as a compact JWS.
 *
 * @throws RangeError if the order breaks a bound that {@link verifyBypassOrder} holds, or is too large
 */
export function signBypassOrder(order: BypassOrder, key: SigningKey): string {
  const claims = claimsOf(order);
  if (!isClaims(claims)) throw new RangeError(`the order breaks a bound of its format: ${JSON.stringify(claims)}`);
  const signed = `${ENCODED_HEADER}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
  const token = `${signed}.${sign(null, Buffer.from(signed), key.privateKey).toString("base64url")}`;
  if (token.length > MAX_TOKEN_LENGTH) throw new RangeError(`a grant of ${token.length} characters is too large`);
  return token;
}

/**
 * What `unverifiedToken` orders, if one of `trustedKeys` (32-byte Ed25519 public keys) signed exactly these characters.
 * Whether it is expired, for which agent it is, and whether a higher epoch is known, is for the caller to check: here only
 * the signature and the shape are. Never throws.
 */
export function verifyBypassOrder(
  unverifiedToken: string,
  trustedKeys: readonly Uint8Array[],
): BypassOrder | BypassOrderProblem {
  if (unverifiedToken.length > MAX_TOKEN_LENGTH) return { problem: "the token is too large" };
  const parts = canonicalParts(unverifiedToken);
  if (parts === null) return { problem: "the token is not a grant's" };
  if (!trustedKeys.some((key) => isSignedBy(key, parts))) return { problem: "the token is signed by no trusted key" };
  return readOrder(parts.payload);
}

/** Of a token, what is signed as ASCII, and what the two parts behind the header decode to. */
interface TokenParts {
  readonly signed: Buffer;
  readonly payload: Buffer;
  readonly signature: Buffer;
}

/**
 * INVARIANT: one order signed once has one token. The header is one constant string, so there is no algorithm, type or
 * critical extension to confuse; and base64url has one spelling, so that no altered character goes unseen.
 */
function canonicalParts(unverifiedToken: string): TokenParts | null {
  const [header, ...encoded] = unverifiedToken.split(".");
  if (header !== ENCODED_HEADER || encoded.length !== 2) return null;
  const [payload, signature] = encoded.map((part) => Buffer.from(part, "base64url")) as [Buffer, Buffer];
  if (`${header}.${payload.toString("base64url")}.${signature.toString("base64url")}` !== unverifiedToken) return null;
  return { signed: Buffer.from(`${header}.${encoded[0]}`), payload, signature };
}

function isSignedBy(key: Uint8Array, { signed, signature }: TokenParts): boolean {
  try {
    return verify(null, signed, publicKeyObject(key), signature);
  } catch {
    // What is trusted may be no key.
    return false;
  }
}

function readOrder(payload: Uint8Array): BypassOrder | BypassOrderProblem {
  try {
    const claims: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
    if (isClaims(claims)) return orderOf(claims);
  } catch {
    // Not UTF-8, or not JSON.
  }
  return { problem: "the token's claims are malformed" };
}

const characters =
  (max: number): Check<string> =>
  (value): value is string =>
    isString(value) &&
    value.length > 0 &&
    Array.from(value).length <= max &&
    value.isWellFormed() &&
    !value.includes("\0");
const isToolName: Check<string> = (value): value is string => characters(256)(value) && Buffer.byteLength(value) <= 256;
const everyOrder = {
  agent_id: (value: unknown): value is string => isString(value) && /^[a-z0-9][a-z0-9.-]{0,62}$/.test(value),
  issued_at_us: isCount,
  expires_at_us: isCount,
  epoch: isPositive,
};
const isOrderClaims = either(
  object({
    kind: literal("grant"),
    ...everyOrder,
    grant_id: isUuid,
    tools: either(literal("*"), arrayOf(isToolName, { min: 1, max: 100 })),
    operator: characters(256),
    reason: characters(500),
  }),
  object({ kind: literal("revocation"), ...everyOrder }),
);

type Claims = Checked<typeof isOrderClaims>;

/** The claims of an order that lives more than zero and at most {@link MAX_BYPASS_MICROS} microseconds. */
function isClaims(value: unknown): value is Claims {
  if (!isOrderClaims(value)) return false;
  const life = value.expires_at_us - value.issued_at_us;
  return life > 0 && life <= MAX_BYPASS_MICROS;
}

function claimsOf(order: BypassOrder): Claims {
  const { agentId, issuedAt, expiresAt, epoch } = order.kind === "grant" ? order.claims : order;
  const common = { agent_id: agentId, issued_at_us: issuedAt, expires_at_us: expiresAt, epoch };
  if (order.kind === "revocation") return { kind: "revocation", ...common };
  const { grantId, tools, operator, reason } = order.claims;
  return { kind: "grant", ...common, grant_id: grantId, tools: tools === "*" ? tools : [...tools], operator, reason };
}

function orderOf(claims: Claims): BypassOrder {
  const common = {
    agentId: claims.agent_id,
    issuedAt: claims.issued_at_us,
    expiresAt: claims.expires_at_us,
    epoch: claims.epoch,
  };
  if (claims.kind === "revocation") return { kind: "revocation", ...common };
  const { grant_id: grantId, tools, operator, reason } = claims;
  return { kind: "grant", claims: { ...common, grantId, tools, operator, reason } };
}
