import type { JWTPayload } from "jose";
import { claimAt, type JwtVerifier } from "../authn/jwt.ts";
import { Fault } from "../core/fault.ts";
import { isSubject, SUBJECT_PREFIX } from "../core/names.ts";
import type { Named } from "./sessions.ts";
import { ROLES, type Role } from "../authn/role.ts";

/** Of a sign-in (`amr`). */
const MAX_METHODS = 16;

/** Which claims say who an operator is. */
export interface OperatorClaims {
  /** Names a role, or several: then the one that may most counts. A path such as `realm_access.roles`. */
  readonly role: string;
  readonly name: string;
}

/** Bearer tokens of operators, from an OpenID Connect issuer. */
export class OperatorTokens {
  readonly #verifier: JwtVerifier;
  readonly #claims: OperatorClaims;

  constructor(verifier: JwtVerifier, claims: OperatorClaims) {
    this.#verifier = verifier;
    this.#claims = claims;
  }

  /**
   * The operator that a token names. `oidc:` before the name keeps it apart from local accounts.
   *
   * @throws Fault TOKEN_EXPIRED, TOKEN_INVALID, ISSUER_UNAVAILABLE; NOT_PERMITTED if it names no role
   */
  async verify(unverifiedToken: string): Promise<Named> {
    const { payload } = await this.#verifier.verify(unverifiedToken);
    const name = nameIn(payload, this.#claims.name);
    const role = roleIn(payload, this.#claims.role);
    return { kind: "operator", name: `${SUBJECT_PREFIX}${name}`, role, ...signInOf(payload) };
  }
}

function nameIn(payload: JWTPayload, claim: string): string {
  const name = claimAt(payload, claim);
  if (isSubject(name)) return name;
  throw new Fault("TOKEN_INVALID", `The bearer token's claim ${claim} is not a usable name.`);
}

function roleIn(payload: JWTPayload, claim: string): Role {
  const named = [claimAt(payload, claim)].flat();
  const role = ROLES.findLast((candidate) => named.includes(candidate));
  if (role !== undefined) return role;
  throw new Fault("NOT_PERMITTED", `The bearer token's claim ${claim} must name one of the roles ${ROLES.join(", ")}.`);
}

/** When and how a human signed in at the issuer; absent, or of another form, means that none did. */
function signInOf({ auth_time: at, amr }: JWTPayload): Pick<Named, "signedInAt" | "methods"> {
  const signedInAt = typeof at === "number" && Number.isFinite(at) ? Math.round(at * 1_000_000) : null;
  const methods = Array.isArray(amr) && amr.length <= MAX_METHODS && amr.every(isMethod) ? amr : [];
  return { signedInAt, methods };
}

/** RFC 8176 registers short words. An empty one says nothing of how somebody signed in. */
function isMethod(method: unknown): method is string {
  return typeof method === "string" && /^[\x21-\x7e]{1,64}$/.test(method);
}
