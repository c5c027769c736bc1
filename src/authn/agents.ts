import type { X509Certificate } from "node:crypto";
import type { JWTPayload } from "jose";
import type { Micros } from "../core/clock.ts";
import { certificateId, namedBy } from "./certificate.ts";
import { type AgentDirectory, type AgentState, type AuthenticatedAgent, unknownCredential } from "./directory.ts";
import { bearerOf } from "../core/credential.ts";
import { AGENT_ID } from "../core/names.ts";
import { Fault } from "../core/fault.ts";
import { claimProblem } from "../core/request.ts";
import { claimAt, type JwtVerifier } from "./jwt.ts";

/** Who issues agents' tokens, and which claim names the agent; a path as in {@link claimAt}. */
export interface AgentTokens {
  readonly verifier: JwtVerifier;
  readonly claim: string;
  /** The claim that says on whose behalf the agent acts, likewise; null if none does. */
  readonly principalClaim: string | null;
}

/** What a caller brings to prove which agent it is. */
export interface Credentials {
  /** The `authorization` header as received, or undefined. Nothing in it has been verified. */
  readonly authorization: string | undefined;
  /** The client's certificate, which an authority of agents' has verified when the connection was made; null if there is none. */
  readonly certificate?: () => X509Certificate | null;
}

/** How agents may prove who they are, besides keys. */
export interface OtherCredentials {
  /** Null if nobody issues any. */
  readonly tokens: AgentTokens | null;
  /** The alternative name of a certificate, with `{agent}` where the agent's id is; null if certificates name nobody. */
  readonly certificateName: string | null;
  readonly now: () => Micros;
}

/** Ours, which the directory verifies without asking anybody. Whatever else a bearer brings is taken for a token. */
const KEY = /^bearer +dc_agent_/i;
/** What an id of an issuer's key may be, to be written into a row. */
const PRINTABLE_ID = /^[\x21-\x7e]{1,128}$/;

/** Finds out which agent calls, by its key, a token or a certificate; which agents there are, and in what state, the directory knows. */
export class Agents {
  readonly #directory: AgentDirectory;
  readonly #other: OtherCredentials;

  constructor(directory: AgentDirectory, other: OtherCredentials) {
    this.#directory = directory;
    this.#other = other;
  }

  /**
   * Verifies what a caller brings. What is in the `authorization` header counts; a certificate alone where there is no such header.
   *
   * @throws Fault CREDENTIAL_MISSING, CREDENTIAL_UNKNOWN, TOKEN_EXPIRED, TOKEN_INVALID; AGENT_MISMATCH if a certificate names another
   *   agent; ISSUER_UNAVAILABLE; STORE_UNAVAILABLE if the agent or key is not known and the store cannot be asked
   */
  authenticate(credentials: Credentials): Promise<AuthenticatedAgent> {
    const { certificateName } = this.#other;
    const certificate = certificateName === null ? null : (credentials.certificate?.() ?? null);
    if (certificateName === null || certificate === null) return this.#byHeader(credentials.authorization);
    return this.#byCertificate(certificate, certificateName, credentials.authorization);
  }

  stateOf(agentId: string): AgentState {
    return this.#directory.stateOf(agentId);
  }

  /** @throws Fault STORE_UNAVAILABLE */
  confirmedStateOf(agentId: string): Promise<AgentState> {
    return this.#directory.confirmedStateOf(agentId);
  }

  #byHeader(authorization: string | undefined): Promise<AuthenticatedAgent> {
    const { tokens } = this.#other;
    if (tokens === null || !authorization || KEY.test(authorization)) {
      return this.#directory.authenticate(authorization);
    }
    return this.#byToken(authorization, tokens);
  }

  async #byCertificate(
    certificate: X509Certificate,
    template: string,
    authorization: string | undefined,
  ): Promise<AuthenticatedAgent> {
    const named = namedBy(certificate, template);
    if (named.kind === "unfit") {
      throw new Fault("CREDENTIAL_UNKNOWN", `The client's certificate ${named.problem}.`);
    }
    if (authorization) {
      const agent = await this.#byHeader(authorization);
      if (named.kind === "nobody" || named.agentId === agent.agentId) return agent;
      throw new Fault("AGENT_MISMATCH", "The client's certificate names another agent than the authorization.");
    }
    if (named.kind === "nobody") throw new Fault("CREDENTIAL_UNKNOWN", "The client's certificate names no agent.");
    // Connections last; what they began with may not. A date that cannot be read is over.
    if (!(Date.parse(certificate.validTo) > this.#other.now() / 1000)) {
      throw new Fault("CREDENTIAL_UNKNOWN", "The client's certificate has expired.");
    }
    const { agentId } = named;
    if (!(await this.#directory.isInUse(agentId))) throw unknownCredential();
    return { agentId, keyId: certificateId(certificate) };
  }

  /** The issuer says who calls; whether there is such an agent is for operators to say. */
  async #byToken(authorization: string, tokens: AgentTokens): Promise<AuthenticatedAgent> {
    const { verifier, claim, principalClaim } = tokens;
    const unverifiedToken = bearerOf(authorization);
    if (unverifiedToken === null) throw unknownCredential();
    const { payload, keyId } = await verifier.verify(unverifiedToken);
    const agentId = claimAt(payload, claim);
    if (typeof agentId !== "string" || !AGENT_ID.test(agentId)) {
      throw new Fault("TOKEN_INVALID", `The bearer token's claim ${claim} is not an agent's id.`);
    }
    if (!(await this.#directory.isInUse(agentId))) throw unknownCredential();
    const principal = principalClaim === null ? undefined : principalAt(payload, principalClaim);
    return {
      agentId,
      keyId: `jwt:${PRINTABLE_ID.test(keyId) ? keyId : "-"}`,
      ...(principal !== undefined && { principal }),
    };
  }
}

/** Undefined if the token does not have the claim. @throws Fault TOKEN_INVALID if nobody can be called what it says */
function principalAt(payload: JWTPayload, claim: string): string | undefined {
  const principal = claimAt(payload, claim);
  if (principal === undefined) return undefined;
  const problem = typeof principal === "string" ? claimProblem(principal) : "must be text";
  if (typeof principal === "string" && problem === null) return principal;
  throw new Fault("TOKEN_INVALID", `The bearer token's claim ${claim} is not a principal: it ${problem}.`);
}
