import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import type { JsonWebKey, KeyObject } from "node:crypto";

/**
 * The service's Ed25519 signing keys, and the chain by which a verifier that trusts one accepts the next: each key but the
 * first is signed by the one before it.
 */

/** What a chain of keys signs. A signature for one use says nothing in another. */
export interface KeyUse {
  /** As people read it, such as "grant key". */
  readonly label: string;
  /** What the signature that links a key to the one before it covers first. */
  readonly linkDomain: string;
}

/** A public key as it travels. Nothing in it has been verified. */
export interface KeyLink {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 64 bytes: Ed25519 over the use's `linkDomain` and `publicKey` by the key before; empty for the first. */
  readonly signatureByPrevious: Uint8Array;
}

export interface SigningKey {
  readonly privateKey: KeyObject;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** A service changes its key a few times in its life. */
const MAX_CHAIN = 16;
const PUBLIC_KEY_BYTES = 32;

export function makeSigningKey(): SigningKey {
  return signingKeyOf(generateKeyPairSync("ed25519").privateKey);
}

/** @throws if `jwk` is not a private Ed25519 key */
export function signingKeyFromJwk(jwk: JsonWebKey): SigningKey {
  return signingKeyOf(createPrivateKey({ key: jwk, format: "jwk" }));
}

function signingKeyOf(privateKey: KeyObject): SigningKey {
  if (privateKey.asymmetricKeyType !== "ed25519") throw new TypeError("not an Ed25519 key");
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  return { privateKey, publicKey: Buffer.from(x ?? "", "base64url") };
}

/** @throws if `publicKey` is not 32 bytes */
export function publicKeyObject(publicKey: Uint8Array): KeyObject {
  const x = Buffer.from(publicKey).toString("base64url");
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
}

/** How people and logs name a key: "sha256:" and 64 hex digits over its 32 bytes. */
export function fingerprint(publicKey: Uint8Array): string {
  return `sha256:${createHash("sha256").update(publicKey).digest("hex")}`;
}

/** The first link of a chain. */
export function firstLink(key: SigningKey): KeyLink {
  return { publicKey: key.publicKey, signatureByPrevious: new Uint8Array() };
}

/** The link by which a verifier that trusts `previous` accepts `next`. */
export function nextLink(use: KeyUse, previous: SigningKey, next: SigningKey): KeyLink {
  const signatureByPrevious = sign(null, linkMessage(use, next.publicKey), previous.privateKey);
  return { publicKey: next.publicKey, signatureByPrevious };
}

/**
 * The newest key of a chain that continues `pinned`, or of any sound chain if nothing is pinned yet.
 *
 * INVARIANT: trust moves from a pinned key only along signatures, and only forwards: a chain that lacks the pinned key,
 * such as an older chain or one forged with an older stolen key, continues nothing.
 */
export function followChain(
  use: KeyUse,
  pinned: Uint8Array | null,
  unverifiedChain: readonly KeyLink[],
): { readonly newest: Uint8Array } | { readonly problem: string } {
  const newest = unverifiedChain.at(-1);
  if (newest === undefined) return { problem: `there is no ${use.label}` };
  if (unverifiedChain.length > MAX_CHAIN) return { problem: `there are more than ${MAX_CHAIN} ${use.label}s` };
  if (unverifiedChain.some((link) => link.publicKey.length !== PUBLIC_KEY_BYTES)) {
    return { problem: `a ${use.label} is not ${PUBLIC_KEY_BYTES} bytes` };
  }
  let previous: KeyLink | null = null;
  for (const link of unverifiedChain) {
    if (previous !== null && !isSignedBy(use, previous, link)) {
      return { problem: `${use.label} ${fingerprint(link.publicKey)} is not signed by the key before it` };
    }
    previous = link;
  }
  if (pinned !== null && !unverifiedChain.some((link) => sameBytes(link.publicKey, pinned))) {
    return { problem: `the ${use.label}s do not continue the pinned key ${fingerprint(pinned)}` };
  }
  return { newest: newest.publicKey };
}

function isSignedBy(use: KeyUse, previous: KeyLink, link: KeyLink): boolean {
  return verify(null, linkMessage(use, link.publicKey), publicKeyObject(previous.publicKey), link.signatureByPrevious);
}

function linkMessage({ linkDomain }: KeyUse, publicKey: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(linkDomain), publicKey]);
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
