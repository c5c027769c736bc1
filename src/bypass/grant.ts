import { CompactSign, compactVerify } from "jose";
import { z } from "zod";
import type { Micros } from "../clock.ts";
import { type KeyUse, publicKeyObject, type SigningKey } from "../key-chain.ts";

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
  /** Later than `issuedAt`, by at most {@link MAX_ORDER_MICROS}. */
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
export type Order =
  | { readonly kind: "grant"; readonly claims: GrantClaims }
  | ({ readonly kind: "revocation" } & Revocation);

export interface OrderProblem {
  readonly problem: string;
}

/** No order lives longer than 24 hours: it bounds what a guard that nothing can reach goes on honouring. */
export const MAX_ORDER_MICROS: Micros = 24 * 60 * 60 * 1_000_000;

/** Longest token, in characters: the largest grant (100 tools of 256 bytes) with room to spare. */
const MAX_TOKEN_LENGTH = 65_536;

const HEADER = { alg: "EdDSA", typ: "datacrawl-grant+jwt" } as const;
const ENCODED_HEADER = Buffer.from(JSON.stringify(HEADER)).toString("base64url");

/**
 * `order` as a compact JWS.
 *
 * @throws RangeError if the order breaks a bound that {@link verifyOrder} holds, or is too large
 */
export async function signOrder(order: Order, key: SigningKey): Promise<string> {
  const claims = claimsShape.safeParse(claimsOf(order));
  if (!claims.success) throw new RangeError(`not an order: ${z.prettifyError(claims.error)}`);
  const payload = Buffer.from(JSON.stringify(claims.data));
  const token = await new CompactSign(payload).setProtectedHeader(HEADER).sign(key.privateKey);
  if (token.length > MAX_TOKEN_LENGTH) throw new RangeError(`a grant of ${token.length} characters is too large`);
  return token;
}

/**
 * What `unverifiedToken` orders, if one of `trustedKeys` (32-byte Ed25519 public keys) signed exactly these characters.
 * Whether it is expired, for which agent it is, and whether a higher epoch is known, is for the caller to check: here only
 * the signature and the shape are. Never throws.
 */
export async function verifyOrder(
  unverifiedToken: string,
  trustedKeys: readonly Uint8Array[],
): Promise<Order | OrderProblem> {
  if (unverifiedToken.length > MAX_TOKEN_LENGTH) return { problem: "the token is too large" };
  if (!isCanonicalToken(unverifiedToken)) return { problem: "the token is not a grant's" };
  for (const key of trustedKeys) {
    const payload = await signedPayload(unverifiedToken, key);
    if (payload !== null) return readOrder(payload);
  }
  return { problem: "the token is signed by no trusted key" };
}

/**
 * INVARIANT: one order signed once has one token. The header is one constant string, so there is no algorithm, type or
 * critical extension to confuse; and base64url has one spelling, so that no altered character goes unseen.
 */
function isCanonicalToken(unverifiedToken: string): boolean {
  const [header, payload, signature, ...rest] = unverifiedToken.split(".");
  if (header !== ENCODED_HEADER || payload === undefined || signature === undefined || rest.length > 0) return false;
  return [payload, signature].every((part) => Buffer.from(part, "base64url").toString("base64url") === part);
}

async function signedPayload(unverifiedToken: string, key: Uint8Array): Promise<Uint8Array | null> {
  try {
    return (await compactVerify(unverifiedToken, publicKeyObject(key), { algorithms: [HEADER.alg] })).payload;
  } catch {
    return null;
  }
}

function readOrder(payload: Uint8Array): Order | OrderProblem {
  try {
    return orderOf(claimsShape.parse(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload))));
  } catch {
    return { problem: "the token's claims are malformed" };
  }
}

const characters = (max: number) =>
  z
    .string()
    .refine((text) => text.length > 0 && Array.from(text).length <= max && text.isWellFormed() && !text.includes("\0"));
const toolName = characters(256).refine((text) => Buffer.byteLength(text) <= 256);
const everyOrder = {
  agent_id: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
  issued_at_us: z.int().nonnegative(),
  expires_at_us: z.int().nonnegative(),
  epoch: z.int().positive(),
};

const claimsShape = z
  .discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("grant"),
      ...everyOrder,
      grant_id: z.uuid(),
      tools: z.union([z.literal("*"), z.array(toolName).min(1).max(100)]),
      operator: characters(256),
      reason: characters(500),
    }),
    z.strictObject({ kind: z.literal("revocation"), ...everyOrder }),
  ])
  .refine(({ issued_at_us, expires_at_us }) => {
    const life = expires_at_us - issued_at_us;
    return life > 0 && life <= MAX_ORDER_MICROS;
  }, `an order lives more than zero and at most ${MAX_ORDER_MICROS} microseconds`);

function claimsOf(order: Order): z.input<typeof claimsShape> {
  const { agentId, issuedAt, expiresAt, epoch } = order.kind === "grant" ? order.claims : order;
  const common = { agent_id: agentId, issued_at_us: issuedAt, expires_at_us: expiresAt, epoch };
  if (order.kind === "revocation") return { kind: "revocation", ...common };
  const { grantId, tools, operator, reason } = order.claims;
  return { kind: "grant", ...common, grant_id: grantId, tools: tools === "*" ? tools : [...tools], operator, reason };
}

function orderOf(claims: z.output<typeof claimsShape>): Order {
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
