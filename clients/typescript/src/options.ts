import { hasRedisClient } from "./circuit/redis-link.ts";
import { isLoopback } from "@datacrawl/core/loopback";
import type { CertificateFiles, TokenSource } from "./transport/identity.ts";
import type { Endpoint } from "./transport/transport.ts";
import { certificatesProblem } from "@datacrawl/core/pem";
import { readAgent } from "./agent.ts";
import type { Verdict } from "./verdict.ts";

/** Options of `new DataCrawl(…)`. Only the credential has no default. */
export interface DataCrawlOptions {
  /**
   * The service, as `https://host:port`, or `http://host:port` on this machine. Default:
   * `DATACRAWL_URL`, else `http://127.0.0.1:7440` for gRPC and `http://127.0.0.1:7441` for Connect.
   */
  readonly url?: string | undefined;
  /** The agent's key, `dc_agent_…`. Default: `DATACRAWL_API_KEY`, unless there is a token or a certificate. */
  readonly apiKey?: string | undefined;
  /**
   * Instead of a key: returns the agent's JWT. Called before each attempt, so it should cache the token until shortly before it expires.
   * A call without a token in time is denied. Default: reads the file `DATACRAWL_TOKEN_FILE` each time.
   */
  readonly token?: TokenSource | undefined;
  /**
   * A client certificate with its chain, and its key, as paths of PEM files that are read before each attempt; instead of a key or a
   * token, or beside one. Needs `https`. Default: `DATACRAWL_CLIENT_CERT_FILE` and `DATACRAWL_CLIENT_KEY_FILE`.
   */
  readonly clientCertificate?: CertificateFiles | undefined;
  /** The agent that the token or the certificate names; a key contains it. Default: `DATACRAWL_AGENT_ID`. */
  readonly agentId?: string | undefined;
  /** gRPC over HTTP/2 (default), or the Connect protocol over HTTP/1.1 for networks without HTTP/2. */
  readonly transport?: "grpc" | "connect" | undefined;
  /** Certificate authorities in PEM to trust instead of the system's. */
  readonly ca?: string | undefined;
  /**
   * How long a verdict may take, in milliseconds: 1 to 600,000, default 5,000. Below 1,000 a service that is only slow never
   * opens the circuit.
   */
  readonly timeoutMs?: number | undefined;
  /** When the circuit opens, and how long it stays open. */
  readonly circuit?:
    | {
        /** Consecutive failures that open the circuit; from 1, default 5. */
        readonly failures?: number | undefined;
        /** Milliseconds from the opening, or a failed probe, to the next probe; at most an hour, default 30,000. */
        readonly probeAfterMs?: number | undefined;
      }
    | undefined;
  /**
   * `redis://` or `rediss://`, several of a Cluster separated by commas. Lets the agent's processes share their circuit, and
   * find each other's grants. Needs the package `ioredis`. Default: each process detects an outage and probes by itself, and a grant
   * reaches only processes that received it from the service or have it on their disk.
   */
  readonly redisUrl?: string | undefined;
  /**
   * A directory of this machine for the journal and the grant. The agent's processes may share it; guards of other services may not.
   * Needs `node:sqlite`. Default: no bypass, and the guard's own decisions are lost if the process ends before they are uploaded.
   */
  readonly journalDir?: string | undefined;
  /** Called with each verdict of `authorize` and `protect`, and the tool that was asked about. An error that it throws is logged. */
  readonly onVerdict?: ((verdict: Verdict, tool: string) => void) | undefined;
  /** Where warnings go. Default: a process warning named `DataCrawlWarning`. */
  readonly logger?: Logger | undefined;
}

/** A logger such as pino's, or `console`. */
export interface Logger {
  /** A problem that an operator should know: a sentence without secrets. */
  warn(message: string): void;
}

export interface ClientSettings {
  readonly endpoint: Endpoint;
  readonly transport: "grpc" | "connect";
  readonly agentId: string;
  readonly timeoutMs: number;
  readonly circuit: { readonly failures: number; readonly probeAfterMs: number };
  readonly redisUrl: string | null;
  readonly journalDir: string | null;
  readonly onVerdict: ((verdict: Verdict, tool: string) => void) | null;
  readonly logger: Logger;
}

type Env = Readonly<Record<string, string | undefined>>;

const DEFAULT_URL = { grpc: "http://127.0.0.1:7440", connect: "http://127.0.0.1:7441" } as const;
const MAX_TIMEOUT_MS = 600_000;
const HOUR_MS = 3_600_000;
const NAMES = [
  "url",
  "transport",
  "ca",
  "timeoutMs",
  "circuit",
  "redisUrl",
  "journalDir",
  "apiKey",
  "token",
  "clientCertificate",
  "agentId",
  "onVerdict",
  "logger",
];
const WARNINGS: Logger = { warn: (message) => process.emitWarning(message, "DataCrawlWarning") };
const CIRCUIT_NAMES = ["failures", "probeAfterMs"];

/** @throws TypeError naming every problem; never with a credential or the password of a URL in it */
export function readOptions(options: DataCrawlOptions, env: Env): ClientSettings {
  const read = checkOptions(options, env);
  if ("settings" in read) return read.settings;
  throw new TypeError(read.problems.map(({ option, problem }) => `${option} ${problem}`).join("; "));
}

export interface OptionProblem {
  /** Such as `circuit.failures`. */
  readonly option: string;
  /** The rest of the sentence that begins with the option. */
  readonly problem: string;
}

/** Every problem at once. */
export function checkOptions(
  options: DataCrawlOptions,
  env: Env,
): { readonly settings: ClientSettings } | { readonly problems: readonly OptionProblem[] } {
  const problems: OptionProblem[] = [];
  const check = (isGood: boolean, option: string, problem: string): void => {
    if (!isGood) problems.push({ option, problem });
  };
  const { transport = "grpc", timeoutMs = 5000, ca, redisUrl, journalDir, circuit = {} } = options;
  const { onVerdict = null, logger = WARNINGS } = options;
  const { failures = 5, probeAfterMs = 30_000 } = circuit;
  const isTransport = Object.hasOwn(DEFAULT_URL, transport);
  const url = URL.parse(options.url ?? env["DATACRAWL_URL"] ?? DEFAULT_URL[isTransport ? transport : "grpc"]);
  for (const name of unknownNames(options, NAMES)) check(false, name, "is not an option of DataCrawl");
  for (const name of unknownNames(circuit, CIRCUIT_NAMES))
    check(false, `circuit.${name}`, "is not an option of DataCrawl");
  check(isTransport, "transport", 'must be "grpc" or "connect"');
  check(isTimeout(timeoutMs), "timeoutMs", `must be a number of milliseconds from 1 to ${MAX_TIMEOUT_MS}`);
  const problemOfCa = typeof ca === "string" ? certificatesProblem(ca) : "";
  check(
    ca === undefined || problemOfCa === null,
    "ca",
    `must be certificates in PEM, as a string${problemOfCa && `; it ${problemOfCa}`}`,
  );
  check(redisUrl === undefined || isRedisUrl(redisUrl), "redisUrl", "must begin with redis:// or rediss://");
  const lacksRedis = redisUrl !== undefined && !hasRedisClient();
  check(!lacksRedis, "redisUrl", "needs the package ioredis, which is not installed: npm install ioredis");
  check(journalDir === undefined || isText(journalDir), "journalDir", "must be the path of a directory");
  check(Number.isSafeInteger(failures) && failures >= 1, "circuit.failures", "must be a whole number from 1");
  const isGoodDelay = Number.isSafeInteger(probeAfterMs) && probeAfterMs >= 1 && probeAfterMs <= HOUR_MS;
  check(isGoodDelay, "circuit.probeAfterMs", `must be a whole number of milliseconds from 1 to ${HOUR_MS}`);
  check(onVerdict === null || typeof onVerdict === "function", "onVerdict", "must be a function");
  check(typeof logger?.warn === "function", "logger", "must be an object with a method warn");
  const agent = readAgent(options, env, url, check);
  const problemOfUrl = urlProblem(url);
  check(problemOfUrl === null, "url", `(or DATACRAWL_URL) ${problemOfUrl}`);
  if (problems.length > 0 || agent === null || url === null) return { problems };
  const settings: ClientSettings = {
    endpoint: { url, identity: agent.identity, ...(ca !== undefined && { ca }) },
    transport,
    agentId: agent.agentId,
    timeoutMs,
    circuit: { failures, probeAfterMs },
    redisUrl: redisUrl ?? null,
    journalDir: journalDir ?? null,
    onVerdict,
    logger,
  };
  return { settings };
}

export function isTimeout(milliseconds: unknown): milliseconds is number {
  return typeof milliseconds === "number" && milliseconds >= 1 && milliseconds <= MAX_TIMEOUT_MS;
}

/** An option that nobody knows was meant to do something. */
function unknownNames(given: object, known: readonly string[]): string[] {
  return Object.keys(given).filter((name) => !known.includes(name));
}

function urlProblem(url: URL | null): string | null {
  const isOrigin =
    url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.protocol}//${url.host}/` && url.host !== "";
  if (!isOrigin) return "must be http:// or https:// with a host and a port, and nothing else";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return url.protocol === "https:" || isLoopback(host) ? null : "must be https://, since it is not this machine";
}

function isRedisUrl(text: string): boolean {
  return text.split(",").every((one) => /^rediss?:$/.test(URL.parse(one.trim())?.protocol ?? ""));
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}
