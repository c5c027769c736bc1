import { join, resolve } from "node:path";
import { checkOptions, type ClientSettings, type DataCrawlOptions } from "@datacrawl/client/internal/options";
import { type Address, HOSTS_WANTED, parseHosts, VARIABLES } from "../config.ts";
import { isLoopback } from "../core/loopback.ts";
import { messageOf, UsageError } from "../core/fault.ts";
import { readAuthorities } from "../core/pem.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** What `datacrawl sidecar` needs. */
export interface SidecarConfig extends ClientSettings {
  readonly journalDir: string;
  readonly grpc: Address;
  readonly connect: Address;
  /** Hosts besides loopback's that callers may name. Lower case, without ports. */
  readonly allowedHosts: readonly string[];
  readonly logLevel: "debug" | "info" | "warn" | "error" | "silent";
}

const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;

/** The variables and their defaults, for `--help`. */
export const SIDECAR_VARIABLES: Readonly<Record<string, string>> = {
  DATACRAWL_URL: "the service's URL (http://127.0.0.1:7440 for gRPC, http://127.0.0.1:7441 for Connect)",
  DATACRAWL_API_KEY: "the agent's key; or one of the next two",
  DATACRAWL_TOKEN_FILE: "a file with the agent's JWT, read for each call",
  DATACRAWL_CLIENT_CERT_FILE: "the agent's certificate in PEM, read for each call; only with https",
  DATACRAWL_CLIENT_KEY_FILE: "its private key",
  DATACRAWL_AGENT_ID: "the agent that the token or the certificate names; a key contains it",
  DATACRAWL_SIDECAR_GRPC_ADDR: "where gRPC listens: a loopback host:port, or unix:/path (127.0.0.1:7443)",
  DATACRAWL_SIDECAR_CONNECT_ADDR: "where Connect, /healthz, /readyz and /metrics listen, likewise (127.0.0.1:7444)",
  DATACRAWL_ALLOWED_HOSTS: "hosts, separated by commas and without ports, that it answers for besides localhost (none)",
  DATACRAWL_SIDECAR_JOURNAL_DIR: "where the journal and the grant are kept ($DATACRAWL_DATA_DIR/guard)",
  DATACRAWL_SIDECAR_TRANSPORT: "how the service is reached: grpc or connect (grpc)",
  DATACRAWL_SIDECAR_TIMEOUT_MS: "the most milliseconds for a verdict; a caller's deadline may be shorter (5000)",
  DATACRAWL_SIDECAR_CIRCUIT_FAILURES: "consecutive failures that open the circuit (5)",
  DATACRAWL_SIDECAR_CIRCUIT_PROBE_AFTER_MS: "milliseconds from the opening to the next probe (30000)",
  DATACRAWL_CA_FILE: "PEM certificate authorities to trust instead of the system's",
  REDIS_URL: "lets the agent's guards share their circuit (not shared)",
  DATACRAWL_DATA_DIR: "where the journal lives if its own variable is not set (./data)",
  DATACRAWL_LOG_LEVEL: "debug, info, warn, error or silent (info)",
};

/** The library's options by the variables that set them here. */
const VARIABLE_OF: Readonly<Record<string, string>> = {
  url: "DATACRAWL_URL",
  apiKey: "DATACRAWL_API_KEY",
  token: "DATACRAWL_TOKEN_FILE",
  clientCertificate: "DATACRAWL_CLIENT_CERT_FILE",
  agentId: "DATACRAWL_AGENT_ID",
  transport: "DATACRAWL_SIDECAR_TRANSPORT",
  timeoutMs: "DATACRAWL_SIDECAR_TIMEOUT_MS",
  "circuit.failures": "DATACRAWL_SIDECAR_CIRCUIT_FAILURES",
  "circuit.probeAfterMs": "DATACRAWL_SIDECAR_CIRCUIT_PROBE_AFTER_MS",
  redisUrl: "REDIS_URL",
};

/** @throws UsageError with every problem; none repeats a secret */
export function loadSidecarConfig(env: Env, cwd: string): SidecarConfig {
  const problems: string[] = [];
  const grpc = readAddress(env, "DATACRAWL_SIDECAR_GRPC_ADDR", "127.0.0.1:7443", problems);
  const connect = readAddress(env, "DATACRAWL_SIDECAR_CONNECT_ADDR", "127.0.0.1:7444", problems);
  const logLevel = readLogLevel(env, problems);
  const allowedHosts = parseHosts(env["DATACRAWL_ALLOWED_HOSTS"]);
  if (allowedHosts === null) problems.push(`DATACRAWL_ALLOWED_HOSTS: ${HOSTS_WANTED}`);
  const client = readClient(env, readCa(env, cwd, problems), problems);
  for (const name of Object.keys(env)) {
    const isKnown = name in VARIABLES || name in SIDECAR_VARIABLES || name.startsWith("DATACRAWL_TEST_");
    if (name.startsWith("DATACRAWL_") && !isKnown) problems.push(`${name} is not a variable of DataCrawl`);
  }
  if (problems.length > 0 || client === null || allowedHosts === null) throw new UsageError(problems);
  const dataDir = resolve(cwd, env["DATACRAWL_DATA_DIR"] || "data");
  const journalDir = resolve(cwd, env["DATACRAWL_SIDECAR_JOURNAL_DIR"] || join(dataDir, "guard"));
  return Object.freeze({ ...client, journalDir, grpc, connect, allowedHosts, logLevel });
}

function readAddress(env: Env, variable: string, fallback: string, problems: string[]): Address {
  const read = loopbackAddress(env[variable] || fallback, variable);
  if (typeof read !== "string") return read;
  problems.push(`${variable} ${read}`);
  return { kind: "tcp", host: "", port: 0, variable };
}

/**
 * An address that only this machine reaches, or why `text` is none, as the end of a sentence.
 *
 * INVARIANT: callers need no credential, so every process that can reach the listener is the agent: only this machine, or a socket's owner.
 */
export function loopbackAddress(text: string, variable: string): Address | string {
  const path = /^unix:(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { kind: "unix", path, variable };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) return "must be a loopback HOST:PORT, such as 127.0.0.1:7443, or unix:/path";
  if (!isLoopback(host)) return "must be an address of this machine alone: callers need no credential";
  return { kind: "tcp", host, port, variable };
}

function readLogLevel(env: Env, problems: string[]): SidecarConfig["logLevel"] {
  const text = env["DATACRAWL_LOG_LEVEL"] || "info";
  const level = LOG_LEVELS.find((known) => known === text);
  if (level === undefined) problems.push(`DATACRAWL_LOG_LEVEL must be one of ${LOG_LEVELS.join(", ")}`);
  return level ?? "info";
}

function readCa(env: Env, cwd: string, problems: string[]): string | undefined {
  const path = env["DATACRAWL_CA_FILE"];
  try {
    return path ? readAuthorities("DATACRAWL_CA_FILE", resolve(cwd, path)) : undefined;
  } catch (error) {
    problems.push(messageOf(error));
    return undefined;
  }
}

/** By the library's own rules. */
function readClient(env: Env, ca: string | undefined, problems: string[]): ClientSettings | null {
  const text = (option: string): string | undefined => env[VARIABLE_OF[option] ?? ""] || undefined;
  const number = (option: string): number | undefined =>
    text(option) === undefined ? undefined : Number(text(option));
  const options: DataCrawlOptions = {
    url: text("url"),
    // Checked below, like all the others.
    transport: text("transport") as DataCrawlOptions["transport"],
    timeoutMs: number("timeoutMs"),
    circuit: { failures: number("circuit.failures"), probeAfterMs: number("circuit.probeAfterMs") },
    redisUrl: text("redisUrl"),
    ca,
  };
  const read = checkOptions(options, { ...env, DATACRAWL_URL: undefined });
  if ("settings" in read) return read.settings;
  for (const { option, problem } of read.problems) {
    problems.push(`${VARIABLE_OF[option] ?? option} ${problem.replace(/^\(or \S+\) /, "")}`);
  }
  return null;
}
