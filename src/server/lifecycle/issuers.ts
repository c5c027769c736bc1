import { OperatorTokens } from "../../admin/tokens.ts";
import type { AgentTokens } from "../../authn/agents.ts";
import { fetchJson } from "../../authn/fetch-json.ts";
import { Jwks } from "../../authn/jwks.ts";
import { JwtVerifier } from "../../authn/jwt.ts";
import type { Config, IssuerConfig } from "../../config.ts";
import { failureOf } from "../failure.ts";
import type { Log } from "./log.ts";

export interface Issuers {
  /** What verifies operators' tokens; null if no issuer is configured. */
  readonly operators: OperatorTokens | null;
  /** What verifies agents' tokens, and where they name the agent; null likewise. */
  readonly agents: AgentTokens | null;
  stop(): void;
}

/** Reads the issuers' keys, and goes on reading them until `stop`. An issuer that cannot be reached does not stop the start. */
export async function openIssuers(
  { oidc, agentJwt }: Pick<Config, "oidc" | "agentJwt">,
  now: () => number,
  monotonic: () => number,
  log: Log,
): Promise<Issuers> {
  const open = (config: IssuerConfig, settings: string): { keys: Jwks; verifier: JwtVerifier } => {
    const { issuer, jwksUrl: url } = config;
    const onError = (error: unknown): void => {
      log.error({ issuer, settings, ...failureOf(error) }, "the issuer's keys could not be read");
    };
    const keys = new Jwks({ issuer, url, fetchJson, monotonic, onError });
    return { keys, verifier: new JwtVerifier(config, keys.find, now) };
  };
  const operators = oidc && open(oidc, "DATACRAWL_OIDC_*");
  const agents = agentJwt && open(agentJwt, "DATACRAWL_AGENT_JWT_*");
  await Promise.all([operators?.keys.start(), agents?.keys.start()]);
  return {
    operators: operators && new OperatorTokens(operators.verifier, { role: oidc.roleClaim, name: oidc.nameClaim }),
    agents: agents && {
      verifier: agents.verifier,
      claim: agentJwt.claim,
      principalClaim: agentJwt.principalClaim || null,
    },
    stop() {
      operators?.keys.stop();
      agents?.keys.stop();
    },
  };
}
