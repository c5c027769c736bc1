import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import type { Micros } from "../core/clock.ts";
import { Fault, type Path, pathText } from "../core/fault.ts";
import { parseJsonText } from "../core/json-text.ts";
import { Undecodable } from "../core/undecodable.ts";

/** How far the issuer's clock may be from ours. */
const CLOCK_TOLERANCE_SECONDS = 10;
const MAX_TOKEN_CHARACTERS = 16 * 1024;
/** Claims that are a NumericDate (RFC 7519, OpenID Connect). */
const DATES = ["exp", "nbf", "iat", "auth_time"];
/** The end of the year 9999, in seconds: no calendar goes on after that. */
const LAST_DATE = 253_402_300_799;

export interface JwtPolicy {
  readonly issuer: string;
  readonly audience: string;
  /** Only asymmetric ones: with a symmetric algorithm, everybody who has the public key could sign. */
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
    checkForm(unverifiedToken);
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
      if (error instanceof Fault) throw error;
      // jose throws TypeErrors for keys that it cannot use, such as RSA keys of 1,024 bits. Which key is used, the token says.
      throw invalid("it cannot be verified with the issuer's key that it names", error);
    }
  }
}

const COMPACT = /^([\w-]+)\.([\w-]+)\.[\w-]+$/;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Refuses what two readers of a token could read differently, or not at all: members that occur twice, bytes that are no UTF-8,
 * dates that no clock has.
 *
 * @throws Fault TOKEN_INVALID
 */
function checkForm(unverifiedToken: string): void {
  const [, header, payload] = COMPACT.exec(unverifiedToken) ?? [];
  if (header === undefined || payload === undefined) throw invalid("it is not a signed JWT in compact form");
  readPart("header", header);
  const claims = readPart("payload", payload);
  for (const name of DATES) {
    const date = claims[name];
    if (typeof date === "number" && !(date >= 0 && date <= LAST_DATE)) throw invalid(`its ${name} is not a date`);
  }
}

function readPart(name: string, encoded: string): Readonly<Record<string, unknown>> {
  const path: Path = [name];
  try {
    const value = parseJsonText(UTF8.decode(Buffer.from(encoded, "base64url")), path, { numbers: "rounded" });
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (error) {
    if (error instanceof Undecodable) throw invalid(`its ${pathText(path).slice(0, 100)} ${error.message}`);
    throw invalid(`its ${name} is not UTF-8`, error);
  }
  throw invalid(`its ${name} is not an object`);
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

function invalid(why: string, cause?: unknown): Fault {
  return new Fault("TOKEN_INVALID", `The bearer token is refused: ${why}.`, { cause });
}
