import { isIPv6 } from "node:net";
import { join, resolve } from "node:path";
import { Cron } from "croner";
import { UsageError, messageOf } from "./core/fault.ts";
import { isLoopback } from "./core/loopback.ts";
import { PACKAGE_ROOT } from "./package-root.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** A host and port, or the path of a Unix socket, and the variable that names it. */
export type Address = TcpAddress | { readonly kind: "unix"; readonly path: string; readonly variable: string };

export interface TcpAddress {
  readonly kind: "tcp";
  /** Without brackets. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly variable: string;
}

export interface TlsFiles {
  readonly certFile: string;
  /** The variable that names it. */
  readonly certVariable: string;
  readonly keyFile: string;
  readonly keyVariable: string;
}

export interface ListenerConfig {
  readonly address: TcpAddress;
  readonly tls: TlsFiles | null;
}

/** Who issues tokens, and which of them are taken. */
export interface IssuerConfig {
  readonly issuer: string;
  readonly audience: string;
  /** Null if the issuer's discovery document says it. */
  readonly jwksUrl: string | null;
  readonly algorithms: readonly string[];
}

export interface OidcConfig extends IssuerConfig {
  readonly roleClaim: string;
  readonly nameClaim: string;
}

export interface AgentJwtConfig extends IssuerConfig {
  /** Names the agent. */
  readonly claim: string;
  /** Says on whose behalf the agent acts; empty if none does. */
  readonly principalClaim: string;
}

export interface AgentCertificatesConfig {
  readonly caFile: string;
  /** The alternative name, with `{agent}` where the agent's id is. */
  readonly name: string;
}

/** Asymmetric ones alone. */
const JWT_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/** What `datacrawl serve` needs. Checked whole; frozen. */
export interface Config {
  readonly dataDir: string;
  readonly policyDir: string;
  /** True if the policies are the samples of the package, because the user has none. */
  readonly samplePolicies: boolean;
  readonly keysDir: string;
  /** Where checkpoints of the audit trail are kept outside the database; null if nowhere. */
  readonly checkpointDir: string | null;
  /** When the service verifies the audit trail: a cron pattern and its time zone; null for never. */
  readonly verifyAt: { readonly pattern: string; readonly zone: string } | null;
  /** Within how many days incremental verification reads everything again. */
  readonly reverifyDays: number;
  readonly adminSocket: string;
  readonly grpc: ListenerConfig;
  readonly connect: ListenerConfig;
  /** Operators' port; they also come over the socket. */
  readonly admin: ListenerConfig;
  /** Who issues operators' bearer tokens; null if nobody does. */
  readonly oidc: OidcConfig | null;
  /** Who issues agents' tokens; null if they have keys alone. */
  readonly agentJwt: AgentJwtConfig | null;
  /** Which client certificates name agents; null if none does. */
  readonly agentCertificates: AgentCertificatesConfig | null;
  /** Null means the embedded database. */
  readonly databaseUrl: string | null;
  /** The tables' owner; null if only the service's login is known. */
  readonly databaseOwnerUrl: string | null;
  readonly redisUrl: string | null;
  /** Null if there is none. */
  readonly webhook: WebhookConfig | null;
  /** Where operators find the dashboard, for links to it; null if nobody said. */
  readonly adminPublicUrl: string | null;
  /** Hosts besides loopback's that listeners without TLS answer for. Lower case, without ports. */
  readonly allowedHosts: readonly string[];
  readonly agentRate: number;
  readonly agentBurst: number;
  /** How long an execution may take to be reported where its rule does not say, in microseconds. */
  readonly executionMicros: number;
  readonly logLevel: LogLevel;
}

/** What the commands on a service's data need of it. */
export type DataConfig = Omit<Config, "policyDir" | "samplePolicies">;

export interface WebhookConfig {
  /** https, or http to this machine. A secret: receivers put tokens into paths. */
  readonly url: string;
  readonly secretFile: string;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The variables, for `--help` and for the check that none is misspelt. */
export const VARIABLES: Readonly<Record<string, string>> = {
  DATACRAWL_DATA_DIR: "where the embedded database, the keys and the admin socket live (./data)",
  DATACRAWL_POLICY_DIR: "the directory of rule files (./policies)",
  DATACRAWL_KEYS_DIR: "the directory of secret keys ($DATACRAWL_DATA_DIR/keys)",
  DATACRAWL_CHECKPOINT_DIR:
    "where checkpoints of the audit trail are published, shared by all replicas (embedded: $DATACRAWL_DATA_DIR/checkpoints)",
  DATACRAWL_AUDIT_VERIFY_AT: "when the service verifies the audit trail, as a cron pattern, or never (0 3 * * *)",
  DATACRAWL_AUDIT_VERIFY_ZONE: "the time zone of that, such as Europe/Paris (UTC)",
  DATACRAWL_AUDIT_REVERIFY_DAYS: "within how many days verification reads the whole trail again (30)",
  DATACRAWL_GRPC_ADDR: "where agents' gRPC listens (127.0.0.1:7440)",
  DATACRAWL_CONNECT_ADDR: "where Connect, gRPC-Web, JSON, health and metrics listen (127.0.0.1:7441)",
  DATACRAWL_ADMIN_ADDR: "where operators' AdminService listens, beside the Unix socket (127.0.0.1:7442)",
  DATACRAWL_TLS_CERT_FILE: "PEM certificate chain for all listeners",
  DATACRAWL_TLS_KEY_FILE: "PEM private key for all listeners",
  DATACRAWL_GRPC_TLS_CERT_FILE: "as DATACRAWL_TLS_CERT_FILE, for gRPC alone",
  DATACRAWL_GRPC_TLS_KEY_FILE: "as DATACRAWL_TLS_KEY_FILE, for gRPC alone",
  DATACRAWL_CONNECT_TLS_CERT_FILE: "as DATACRAWL_TLS_CERT_FILE, for Connect alone",
  DATACRAWL_CONNECT_TLS_KEY_FILE: "as DATACRAWL_TLS_KEY_FILE, for Connect alone",
  DATACRAWL_ADMIN_TLS_CERT_FILE: "as DATACRAWL_TLS_CERT_FILE, for operators alone",
  DATACRAWL_ADMIN_TLS_KEY_FILE: "as DATACRAWL_TLS_KEY_FILE, for operators alone",
  DATACRAWL_OIDC_ISSUER: "the OpenID Connect issuer of operators' bearer tokens; without it tokens are refused",
  DATACRAWL_OIDC_AUDIENCE: "the audience that operators' tokens must have",
  DATACRAWL_OIDC_ROLE_CLAIM: "the claim that names an operator's role: viewer, reviewer or operator (datacrawl_role)",
  DATACRAWL_OIDC_NAME_CLAIM: "the claim that names the operator in the trail (sub)",
  DATACRAWL_OIDC_JWKS_URL: "the issuer's keys; without it they are found by discovery",
  DATACRAWL_OIDC_ALGORITHMS: "the accepted signature algorithms, separated by commas (RS256,ES256)",
  DATACRAWL_AGENT_JWT_ISSUER: "the issuer of agents' bearer tokens; without it tokens are refused",
  DATACRAWL_AGENT_JWT_AUDIENCE: "the audience that agents' tokens must have",
  DATACRAWL_AGENT_JWT_CLAIM: "the claim that holds the agent's id (sub)",
  DATACRAWL_AGENT_JWT_PRINCIPAL_CLAIM:
    "the claim that says on whose behalf the agent acts, which a request then cannot contradict; none by default",
  DATACRAWL_AGENT_JWT_JWKS_URL: "the issuer's keys; without it they are found by OpenID Connect discovery",
  DATACRAWL_AGENT_JWT_ALGORITHMS: "the accepted signature algorithms, separated by commas (RS256,ES256)",
  DATACRAWL_AGENT_CA_FILE: "PEM authorities of agents' client certificates, for listeners with TLS; none by default",
  DATACRAWL_AGENT_SAN:
    "the certificate's name of an agent, as spiffe://example.org/agent/{agent} or {agent}.agents.example.org",
  DATABASE_URL: "postgres:// URL of the service's login; without it the database is embedded",
  DATABASE_OWNER_URL: "postgres:// URL of the tables' owner, for migrations and partitions",
  REDIS_URL: "redis:// or rediss:// URL, several separated by commas for a Cluster; without it the cache is in-process",
  DATACRAWL_WEBHOOK_URL:
    "https:// URL that receives messages about reviews, bypasses and freezes (docs/webhooks.md); none by default",
  DATACRAWL_WEBHOOK_SECRET_FILE: "the secret that signs the webhook's messages ($DATACRAWL_KEYS_DIR/webhook.secret)",
  DATACRAWL_ADMIN_PUBLIC_URL: "where operators find the dashboard, for links in the webhook's messages",
  DATACRAWL_ALLOWED_HOSTS:
    "hosts, separated by commas and without ports, that listeners without TLS answer for besides localhost: those that a proxy passes on",
  DATACRAWL_AGENT_RATE: "requests a second and agent, 0 for no limit (200)",
  DATACRAWL_AGENT_BURST: "requests that an agent may spend at once (twice the rate)",
  DATACRAWL_EXECUTION_TIMEOUT:
    "after how long an execution without a report counts as unresolved, such as 90s, 30m or 4h, where its rule does not say (15m)",
  DATACRAWL_LOG_LEVEL: `${LOG_LEVELS.join(", ")} (info)`,
  DATACRAWL_API_KEY: "an agent's key, for `datacrawl authorize` and `datacrawl sidecar`",
  DATACRAWL_TOKEN_FILE: "a file that holds an agent's JWT, for the same",
  DATACRAWL_CLIENT_CERT_FILE: "an agent's certificate in PEM, for the same",
  DATACRAWL_CLIENT_KEY_FILE: "its private key",
  DATACRAWL_AGENT_ID: "the agent that the token or the certificate names",
  DATACRAWL_ADMIN_URL: "the service's admin port, for operators' commands on another machine (as --admin-url)",
  DATACRAWL_OPERATOR_TOKEN: "an operator's bearer token of the OIDC issuer, for commands with an admin URL",
  DATACRAWL_URL: "the service's gRPC URL, for `datacrawl authorize` and `datacrawl sidecar`",
  DATACRAWL_CA_FILE:
    "PEM certificate authorities that commands with an admin URL, and `datacrawl sidecar`, trust; " +
    "the sidecar's other variables: `datacrawl sidecar --help`",
};

/**
 * For `datacrawl serve`.
 *
 * @param hasPolicies whether there is a directory at {@link policyDirOf}
 * @throws UsageError with every problem
 */
export function loadConfig(env: Env, cwd: string, hasPolicies: boolean): Config {
  return readConfig(env, cwd, hasPolicies);
}

/** Where the policies are to be. Its file system may hang: this process does not look at it. */
export function policyDirOf(env: Env, cwd: string): string {
  return new Reader(env, cwd).path("DATACRAWL_POLICY_DIR", "policies");
}

/**
 * For the commands on a service's data, which run also where there are no policies.
 *
 * @throws UsageError with every problem
 */
export function loadDataConfig(env: Env, cwd: string): DataConfig {
  return readConfig(env, cwd, true);
}

function readConfig(env: Env, cwd: string, hasPolicies: boolean): Config {
  const read = new Reader(env, cwd);
  const dataDir = read.path("DATACRAWL_DATA_DIR", "data");
  const databaseUrl = read.url("DATABASE_URL", ["postgres:", "postgresql:"]);
  const agentRate = read.count("DATACRAWL_AGENT_RATE", 200);
  const keysDir = read.path("DATACRAWL_KEYS_DIR", resolve(dataDir, "keys"));
  const config: Config = {
    dataDir,
    ...read.policies(policyDirOf(env, cwd), hasPolicies, databaseUrl === null),
    keysDir,
    checkpointDir: read.optionalPath(
      "DATACRAWL_CHECKPOINT_DIR",
      databaseUrl === null ? resolve(dataDir, "checkpoints") : null,
    ),
    verifyAt: read.schedule("DATACRAWL_AUDIT_VERIFY_AT", "0 3 * * *", "DATACRAWL_AUDIT_VERIFY_ZONE", "UTC"),
    reverifyDays: read.count("DATACRAWL_AUDIT_REVERIFY_DAYS", 30, 1),
    adminSocket: resolve(dataDir, "admin.sock"),
    grpc: read.listener("DATACRAWL_GRPC", "127.0.0.1:7440"),
    connect: read.listener("DATACRAWL_CONNECT", "127.0.0.1:7441"),
    admin: read.listener("DATACRAWL_ADMIN", "127.0.0.1:7442"),
    ...read.issuers(),
    agentCertificates: read.agentCertificates(),
    databaseUrl,
    databaseOwnerUrl: read.url("DATABASE_OWNER_URL", ["postgres:", "postgresql:"]),
    redisUrl: read.urls("REDIS_URL", ["redis:", "rediss:"]),
    webhook: read.webhook(resolve(keysDir, "webhook.secret")),
    adminPublicUrl: read.url("DATACRAWL_ADMIN_PUBLIC_URL", ["https:", "http:"]),
    allowedHosts: read.hosts("DATACRAWL_ALLOWED_HOSTS"),
    agentRate,
    agentBurst: read.count("DATACRAWL_AGENT_BURST", Math.max(1, 2 * agentRate), 1),
    executionMicros: read.duration("DATACRAWL_EXECUTION_TIMEOUT", 15 * 60),
    logLevel: read.oneOf("DATACRAWL_LOG_LEVEL", LOG_LEVELS, "info"),
  };
  read.unknownVariables();
  if (read.problems.length > 0) throw new UsageError(read.problems);
  return Object.freeze(config);
}

/** Collects problems instead of stopping at the first. Values of URLs are never repeated: they hold passwords. */
class Reader {
  readonly problems: string[] = [];
  readonly #env: Env;
  readonly #cwd: string;

  constructor(env: Env, cwd: string) {
    this.#env = env;
    this.#cwd = cwd;
  }

  path(variable: string, fallback: string): string {
    return resolve(this.#cwd, this.#env[variable] || fallback);
  }

  optionalPath(variable: string, fallback: string | null): string | null {
    const text = this.#env[variable];
    return text ? resolve(this.#cwd, text) : fallback;
  }

  schedule(variable: string, fallback: string, zoneVariable: string, zoneFallback: string): Config["verifyAt"] {
    const [pattern, zone] = [this.#env[variable] || fallback, this.#env[zoneVariable] || zoneFallback];
    if (pattern === "never") return null;
    try {
      new Cron(pattern, { timezone: zone, paused: true }).nextRun();
    } catch (error) {
      const why = messageOf(error);
      this.problems.push(
        `${variable} is "${pattern}" in the zone "${zone}" (${zoneVariable}), which is not a schedule: ${why}`,
      );
    }
    return { pattern, zone };
  }

  count(variable: string, fallback: number, least = 0): number {
    const text = this.#env[variable];
    if (text === undefined || text === "") return fallback;
    if (/^\d{1,9}$/.test(text) && Number(text) >= least) return Number(text);
    this.problems.push(`${variable} is "${text}": it must be a whole number from ${least} to 999999999`);
    return fallback;
  }

  /** In microseconds. @param fallback in seconds */
  duration(variable: string, fallback: number): number {
    const text = this.#env[variable];
    const [, count, unit] = /^([1-9]\d{0,6})([smhd])$/.exec(text || `${fallback}s`) ?? [];
    const seconds = Number(count) * (UNIT_SECONDS[unit ?? ""] ?? 0);
    if (seconds > 0 && seconds <= 30 * 86_400) return seconds * 1_000_000;
    this.problems.push(`${variable} is "${text}": it must be a time such as 90s, 30m, 4h or 1d, at most 30d`);
    return fallback * 1_000_000;
  }

  oneOf<T extends string>(variable: string, values: readonly T[], fallback: T): T {
    const text = this.#env[variable];
    if (text === undefined || text === "") return fallback;
    const value = values.find((candidate) => candidate === text);
    if (value === undefined) this.problems.push(`${variable} is "${text}": it must be one of ${values.join(", ")}`);
    return value ?? fallback;
  }

  url(variable: string, schemes: readonly string[]): string | null {
    const text = this.#env[variable];
    if (text === undefined || text === "") return null;
    if (schemes.includes(URL.parse(text)?.protocol ?? "")) return text;
    this.problems.push(
      `${variable} is not a URL that begins with ${schemes.map((scheme) => `${scheme}//`).join(" or ")}`,
    );
    return null;
  }

  hosts(variable: string): readonly string[] {
    const hosts = parseHosts(this.#env[variable]);
    if (hosts === null) this.problems.push(`${variable} is "${this.#env[variable]}": ${HOSTS_WANTED}`);
    return hosts ?? [];
  }

  urls(variable: string, schemes: readonly string[]): string | null {
    const text = this.#env[variable];
    if (text === undefined || text === "") return null;
    const wellFormed = text.split(",").every((part) => schemes.includes(URL.parse(part.trim())?.protocol ?? ""));
    if (wellFormed) return text;
    const wanted = schemes.map((scheme) => `${scheme}//`).join(" or ");
    this.problems.push(`${variable} has a part that is not a URL that begins with ${wanted}`);
    return null;
  }

  webhook(secretFallback: string): WebhookConfig | null {
    const url = this.url("DATACRAWL_WEBHOOK_URL", ["https:", "http:"]);
    if (url === null) return null;
    const { protocol, hostname, username, password } = new URL(url);
    if (protocol === "http:" && !isLoopback(hostname.replace(/^\[(.*)\]$/, "$1"))) {
      this.problems.push("DATACRAWL_WEBHOOK_URL names another machine, so it must begin with https://");
    }
    if (username !== "" || password !== "") {
      this.problems.push(
        "DATACRAWL_WEBHOOK_URL must not have a user or password, which are not sent: receivers verify the signature instead",
      );
    }
    return { url, secretFile: this.path("DATACRAWL_WEBHOOK_SECRET_FILE", secretFallback) };
  }

  listener(prefix: string, fallback: string): ListenerConfig {
    const variable = `${prefix}_ADDR`;
    const address = parseTcp(this.#env[variable] || fallback, variable);
    const tls = this.#tls(prefix);
    if (address === null) {
      this.problems.push(
        `${variable} is "${this.#env[variable]}": it must be HOST:PORT, such as ${fallback} or [::1]:7440`,
      );
      return { address: { kind: "tcp", host: "127.0.0.1", port: 0, variable }, tls: null };
    }
    if (tls === null && !isLoopback(address.host)) {
      this.problems.push(
        `${variable} is "${this.#env[variable]}", which other machines can reach: ` +
          `set ${prefix}_TLS_CERT_FILE and ${prefix}_TLS_KEY_FILE, or listen on 127.0.0.1`,
      );
    }
    return { address, tls };
  }

  policies(policyDir: string, exists: boolean, embedded: boolean): { policyDir: string; samplePolicies: boolean } {
    if (exists) return { policyDir, samplePolicies: false };
    // A package that was just installed has something to try; a deployment is never decided by samples unasked.
    if (embedded && !this.#env["DATACRAWL_POLICY_DIR"])
      return { policyDir: join(PACKAGE_ROOT, "policies"), samplePolicies: true };
    this.problems.push(
      `DATACRAWL_POLICY_DIR is ${policyDir}, which does not exist: make it, with at least one rule file`,
    );
    return { policyDir, samplePolicies: false };
  }

  issuers(): { readonly oidc: OidcConfig | null; readonly agentJwt: AgentJwtConfig | null } {
    const oidc = this.#issuer("DATACRAWL_OIDC", { roleClaim: "datacrawl_role", nameClaim: "sub" });
    const agentJwt = this.#issuer("DATACRAWL_AGENT_JWT", { claim: "sub", principalClaim: "" });
    // A token must not be worth something to both: the one who may ask is not the one who may answer.
    if (oidc?.issuer && oidc.issuer === agentJwt?.issuer && oidc.audience === agentJwt.audience) {
      this.problems.push(
        `DATACRAWL_AGENT_JWT_AUDIENCE is "${agentJwt.audience}", which is DATACRAWL_OIDC_AUDIENCE of the same issuer: ` +
          "agents and operators must have different audiences",
      );
    }
    return { oidc, agentJwt };
  }

  /** The issuer of tokens that is configured under `prefix`, with the claims that it may name; null if none is. */
  #issuer<Claim extends string>(
    prefix: string,
    claims: Readonly<Record<Claim, string>>,
  ): (IssuerConfig & Record<Claim, string>) | null {
    const claimNames = Object.keys(claims) as Claim[];
    const variables = ["ISSUER", "AUDIENCE", "JWKS_URL", "ALGORITHMS", ...claimNames.map(screaming)];
    if (!variables.some((name) => this.#env[`${prefix}_${name}`])) return null;
    const algorithms = (this.#env[`${prefix}_ALGORITHMS`] || "RS256,ES256").split(",").map((name) => name.trim());
    if (!algorithms.every((name) => JWT_ALGORITHMS.includes(name))) {
      this.problems.push(`${prefix}_ALGORITHMS must be some of ${JWT_ALGORITHMS.join(", ")}, separated by commas`);
    }
    return {
      issuer: this.#secureUrl(`${prefix}_ISSUER`) ?? this.#missing(`${prefix}_ISSUER`),
      audience: this.#env[`${prefix}_AUDIENCE`] || this.#missing(`${prefix}_AUDIENCE`),
      jwksUrl: this.#secureUrl(`${prefix}_JWKS_URL`),
      algorithms,
      ...(Object.fromEntries(
        claimNames.map((name) => [name, this.#env[`${prefix}_${screaming(name)}`] || claims[name]]),
      ) as Record<Claim, string>),
    };
  }

  agentCertificates(): AgentCertificatesConfig | null {
    const [file, name] = ["DATACRAWL_AGENT_CA_FILE", "DATACRAWL_AGENT_SAN"].map((variable) => this.#env[variable]);
    if (!file && !name) return null;
    if (!file || !name) {
      this.problems.push("DATACRAWL_AGENT_CA_FILE and DATACRAWL_AGENT_SAN go together: only one of them is set");
      return null;
    }
    const problem = templateProblem(name);
    if (problem !== null) this.problems.push(`DATACRAWL_AGENT_SAN is "${name}": it ${problem}`);
    if (!["_GRPC", "_CONNECT", ""].some((which) => this.#env[`DATACRAWL${which}_TLS_CERT_FILE`])) {
      this.problems.push("DATACRAWL_AGENT_CA_FILE needs TLS: set DATACRAWL_TLS_CERT_FILE and DATACRAWL_TLS_KEY_FILE");
    }
    return { caFile: resolve(this.#cwd, file), name };
  }

  #missing(variable: string): string {
    if (!this.#env[variable]) this.problems.push(`${variable} is needed, since other variables of its kind are set`);
    return "";
  }

  /** As it is written: an issuer is compared character by character. */
  #secureUrl(variable: string): string | null {
    const text = this.#env[variable];
    if (text === undefined || text === "") return null;
    const url = URL.parse(text);
    const local = url?.protocol === "http:" && isLoopback(url.hostname.replace(/^\[|\]$/g, ""));
    if (url?.protocol === "https:" || local) return text;
    this.problems.push(`${variable} is "${text}": it must be a URL that begins with https://`);
    return null;
  }

  /** A misspelt variable would be a setting that silently does not hold. */
  unknownVariables(): void {
    for (const name of Object.keys(this.#env)) {
      if (name.startsWith("DATACRAWL_") && !/^DATACRAWL_(TEST|SIDECAR)_/.test(name) && !(name in VARIABLES)) {
        this.problems.push(
          `${name} is not a variable of DataCrawl: unset it, or correct its name (\`datacrawl serve --help\` lists all)`,
        );
      }
    }
  }

  #tls(prefix: string): TlsFiles | null {
    const named = (what: "CERT" | "KEY"): string =>
      this.#env[`${prefix}_TLS_${what}_FILE`] ? `${prefix}_TLS_${what}_FILE` : `DATACRAWL_TLS_${what}_FILE`;
    const [certVariable, keyVariable] = [named("CERT"), named("KEY")];
    const [certFile, keyFile] = [this.#env[certVariable], this.#env[keyVariable]];
    if (certFile && keyFile) {
      const files = { certFile: resolve(this.#cwd, certFile), keyFile: resolve(this.#cwd, keyFile) };
      return { ...files, certVariable, keyVariable };
    }
    if (certFile || keyFile) {
      this.problems.push(`${prefix}_TLS_CERT_FILE and ${prefix}_TLS_KEY_FILE go together: only one of them is set`);
    }
    return null;
  }
}

/** What is wrong with a template such as `spiffe://example.org/agent/{agent}` or `{agent}.agents.example.org`; null if nothing. */
function templateProblem(template: string): string | null {
  if (template.split("{agent}").length !== 2) return "must have {agent} in it, once";
  const sample = template.replace("{agent}", "agent");
  if (template.includes("://")) return URL.canParse(sample) ? null : "must be a URI";
  return /^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(sample) ? null : "must be a URI, or a host name in lower case";
}

/** What {@link parseHosts} takes. */
export const HOSTS_WANTED = "it must be hosts without ports, separated by commas, such as authz.example.org";

/** The hosts of a list, in lower case; null if it has a part that is no host. */
export function parseHosts(list: string | undefined): readonly string[] | null {
  if (list === undefined || list === "") return [];
  const hosts = list.split(",").map((host) => host.trim().toLowerCase());
  return hosts.every((host) => /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(host) || isIPv6(host)) ? hosts : null;
}

/** `roleClaim` as `ROLE_CLAIM`. */
function screaming(name: string): string {
  return name.replace(/[A-Z]/g, "_$&").toUpperCase();
}

function parseTcp(text: string, variable: string): TcpAddress | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) return null;
  return { kind: "tcp", host: (match[1] ?? match[2]) as string, port, variable };
}
