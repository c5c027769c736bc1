import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { parseCredential } from "@datacrawl/core/credential";
import { AGENT_ID } from "@datacrawl/core/names";
import {
  type CertificateFiles,
  type Identity,
  nameOf,
  NO_TOKEN,
  TOKEN,
  type TokenSource,
} from "./transport/identity.ts";
import { certificatesProblem, privateKeyProblem } from "@datacrawl/core/pem";

/** Whose guard it is, and what proves it. */
export interface Agent {
  readonly agentId: string;
  readonly identity: Identity;
}

interface Proofs {
  readonly apiKey?: string | undefined;
  readonly token?: TokenSource | undefined;
  readonly clientCertificate?: CertificateFiles | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;
type Check = (isGood: boolean, option: string, problem: string) => void;

/**
 * Who the agent is by the options or, where they hold no proof, by the environment.
 *
 * @param check gets each problem
 * @returns null if there was one
 */
export function readAgent(
  options: Proofs & { readonly agentId?: string | undefined },
  env: Env,
  url: URL | null,
  check: Check,
): Agent | null {
  const hasProof = (options.apiKey ?? options.token ?? options.clientCertificate) !== undefined;
  const { apiKey, token, clientCertificate } = hasProof ? options : proofsOf(env, check);
  const agentId =
    options.agentId ?? (options.apiKey === undefined ? env["DATACRAWL_AGENT_ID"] || undefined : undefined);
  if (clientCertificate !== undefined) checkCertificate(clientCertificate, url, check);
  const certificateFiles = clientCertificate ?? null;
  if (token === undefined && (apiKey !== undefined || certificateFiles === null)) {
    const named = agentOfKey(apiKey ?? "", agentId, check);
    return named === null ? null : { agentId: named, identity: { bearer: apiKey as string, certificateFiles } };
  }
  check(token === undefined || typeof token === "function", "token", "must be a function that brings a token");
  check(apiKey === undefined, "token", "(or DATACRAWL_TOKEN_FILE) replaces a key: give only one of them");
  const isId = typeof agentId === "string" && AGENT_ID.test(agentId);
  check(isId, "agentId", "(or DATACRAWL_AGENT_ID) must be the agent that the token or the certificate names");
  return isId ? { agentId, identity: { bearer: token ?? null, certificateFiles } } : null;
}

function proofsOf(env: Env, check: Check): Proofs {
  const [certFile, keyFile] = [env["DATACRAWL_CLIENT_CERT_FILE"], env["DATACRAWL_CLIENT_KEY_FILE"]];
  const tokenFile = env["DATACRAWL_TOKEN_FILE"] || undefined;
  if (tokenFile !== undefined) {
    let isToken = false;
    const problem = problemOf(() => (isToken = TOKEN.test(readFileSync(tokenFile, "utf8").trim())));
    check(problem === null, "token", `(or DATACRAWL_TOKEN_FILE) cannot be read (${problem})`);
    check(problem !== null || isToken, "token", `(or DATACRAWL_TOKEN_FILE) is ${tokenFile}, which holds ${NO_TOKEN}`);
  }
  return {
    apiKey: env["DATACRAWL_API_KEY"] || undefined,
    ...(tokenFile !== undefined && { token: () => readFile(tokenFile, "utf8") }),
    ...((certFile || keyFile) && { clientCertificate: { certFile: certFile ?? "", keyFile: keyFile ?? "" } }),
  };
}

function agentOfKey(apiKey: string, agentId: string | undefined, check: Check): string | null {
  const credential = parseCredential(apiKey);
  check(credential !== null, "apiKey", "(or DATACRAWL_API_KEY) must be dc_agent_<agent id>_<key id>_<secret>");
  if (credential === null) return null;
  const isSame = agentId === undefined || agentId === credential.agentId;
  check(isSame, "agentId", `(or DATACRAWL_AGENT_ID) must be ${credential.agentId}, the agent of the key`);
  return credential.agentId;
}

/** The same that each call does with them, so that what is wrong from the start is said at the start. */
function checkCertificate({ certFile, keyFile }: CertificateFiles, url: URL | null, check: Check): void {
  const problem = certificateProblem(certFile, keyFile);
  const files = "(or DATACRAWL_CLIENT_CERT_FILE) must name a certificate in PEM, and beside it its key";
  check(problem === null, "clientCertificate", `${files} (DATACRAWL_CLIENT_KEY_FILE): ${problem}`);
  const isSecure = url === null || url.protocol === "https:";
  check(isSecure, "clientCertificate", "(or DATACRAWL_CLIENT_CERT_FILE) needs a URL that begins with https://");
}

function certificateProblem(certFile: string, keyFile: string): string | null {
  return (
    pemProblem(certFile, certificatesProblem) ??
    pemProblem(keyFile, privateKeyProblem) ??
    problemOf(() => createSecureContext({ cert: readFileSync(certFile), key: readFileSync(keyFile) }))
  );
}

function pemProblem(file: string, problemIn: (pem: string) => string | null): string | null {
  try {
    const problem = problemIn(readFileSync(file, "utf8"));
    return problem === null ? null : `${file} ${problem}`;
  } catch (error) {
    return `${JSON.stringify(file)} cannot be read (${nameOf(error)})`;
  }
}

function problemOf(work: () => unknown): string | null {
  try {
    work();
    return null;
  } catch (error) {
    return nameOf(error);
  }
}
