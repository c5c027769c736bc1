import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import type { Micros } from "../clock.ts";
import { Fault } from "../fault.ts";

/** How far the issuer's clock may be from ours. */
const CLOCK_TOLERANCE_SECONDS = 10;
const MAX_TOKEN_CHARACTERS = 16 * 1024;

export interface JwtPolicy {
  readonly issuer: string;
  readonly audience: string;
  /** Asymmetric ones alone: with a symmetric one, whoever reads the public key could sign. */
  readonly algorithms: readonly string[];
}

export interface VerifiedToken {
  /** `exp` is there. */
  readonly payload: JWTPayload;
  /** Of the issuer's key that signed it; empty if it has no id. */
  readonly keyId: string;
}

/** Verifies JWTs (RFC 7519) of one issuer for one audience. */
export class JwtVerifier {
  readonly #policy: JwtPolicy;
  readonly #find: JWTVerifyGetKey;
  readonly #now: () => Micros;

  constructor(policy: JwtPolicy, find: JWTVerifyGetKey, now: () => Micros) {
    this.#policy = policy;
    this.#find = find;
    this.#now = now;
  }

  /**
   * The claims of a token whose signature, algorithm, issuer, audience and time have been verified.
   *
   * @throws Fault TOKEN_EXPIRED, TOKEN_INVALID, ISSUER_UNAVAILABLE
   */
  async verify(unverifiedToken: string): Promise<VerifiedToken> {
    const { issuer, audience, algorithms } = this.#policy;
    if (unverifiedToken.length > MAX_TOKEN_CHARACTERS) throw invalid("it is too long");
    try {
      const { payload, protectedHeader } = await jwtVerify(unverifiedToken, this.#find, {
        issuer,
        audience,
        algorithms: [...algorithms],
        requiredClaims: ["exp"],
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: new Date(this.#now() / 1000),
      });
      return { payload, keyId: protectedHeader.kid ?? "" };
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new Fault("TOKEN_EXPIRED", "The bearer token has expired.");
      if (error instanceof errors.JOSEError) throw invalid(error.message);
      throw error;
    }
  }
}

/** A claim by its name, which may itself have dots, or else by its path. */
export function claimAt(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  let value: unknown = payload;
  for (const part of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

function invalid(why: string): Fault {
  return new Fault("TOKEN_INVALID", `The bearer token is refused: ${why}.`);
}
