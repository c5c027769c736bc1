import { type AgentDirectory, type AgentState, type AuthenticatedAgent, unknownCredential } from "./directory.ts";
import { AGENT_ID, bearerOf } from "./credential.ts";
import { Fault } from "../fault.ts";
import { claimAt, type JwtVerifier } from "./jwt.ts";

/** Who issues agents' tokens, and which claim names the agent; a path as in {@link claimAt}. */
export interface AgentTokens {
  readonly verifier: JwtVerifier;
  readonly claim: string;
}

/** Ours, which the directory verifies without asking anybody. Whatever else a bearer brings is taken for a token. */
const KEY = /^bearer +dc_agent_/i;
/** What an id of an issuer's key may be, to be written into a row. */
const PRINTABLE_ID = /^[\x21-\x7e]{1,128}$/;

/** Finds out which agent calls, by its key or by a token; which agents there are, and in what state, the directory knows. */
export class Agents {
  readonly #directory: AgentDirectory;
  readonly #tokens: AgentTokens | null;

  /** @param tokens null if nobody issues any */
  constructor(directory: AgentDirectory, tokens: AgentTokens | null) {
    this.#directory = directory;
    this.#tokens = tokens;
  }

  /**
   * Verifies the credential in an `authorization` header.
   *
   * @throws Fault CREDENTIAL_MISSING, CREDENTIAL_UNKNOWN, TOKEN_EXPIRED, TOKEN_INVALID; ISSUER_UNAVAILABLE; STORE_UNAVAILABLE if
   *   the agent or key is not known and the store cannot be asked
   */
  authenticate(authorization: string | undefined): Promise<AuthenticatedAgent> {
    if (this.#tokens === null || !authorization || KEY.test(authorization)) {
      return this.#directory.authenticate(authorization);
    }
    return this.#byToken(authorization, this.#tokens);
  }

  stateOf(agentId: string): AgentState {
    return this.#directory.stateOf(agentId);
  }

  /** @throws Fault STORE_UNAVAILABLE */
  confirmedStateOf(agentId: string): Promise<AgentState> {
    return this.#directory.confirmedStateOf(agentId);
  }

  /** The issuer says who calls; whether there is such an agent is for operators to say. */
  async #byToken(authorization: string, { verifier, claim }: AgentTokens): Promise<AuthenticatedAgent> {
    const unverifiedToken = bearerOf(authorization);
    if (unverifiedToken === null) throw unknownCredential();
    const { payload, keyId } = await verifier.verify(unverifiedToken);
    const agentId = claimAt(payload, claim);
    if (typeof agentId !== "string" || !AGENT_ID.test(agentId)) {
      throw new Fault("TOKEN_INVALID", `The bearer token's claim ${claim} is no agent's id.`);
    }
    if (!(await this.#directory.isInUse(agentId))) throw unknownCredential();
    return { agentId, keyId: `jwt:${PRINTABLE_ID.test(keyId) ? keyId : "-"}` };
  }
}
