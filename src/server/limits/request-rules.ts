import type { Address } from "../../config.ts";
import { Fault } from "../../core/fault.ts";
import { isLoopback } from "../../core/loopback.ts";

/** What is looked at of a request, whatever its protocol. Names of `headers` are in lower case. */
export interface RequestHead {
  readonly method?: string | undefined;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
}

export interface RequestRulesOptions {
  readonly address: Address;
  /** With TLS a name that is not the certificate's leads nowhere. */
  readonly encrypted: boolean;
  /** Names and addresses, without ports, besides those of loopback: a proxy in front of the listener passes them on. */
  readonly allowedHosts: readonly string[];
}

/**
 * Headers that say one thing. Of two, Node keeps the first, some proxies the last: what one of them let pass, the other would
 * answer. A fixed order, for {@link firstRepeated} keeps a bit for each.
 */
const SINGLE: ReadonlyMap<string, number> = new Map(
  [
    "authorization",
    "host",
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "origin",
    "sec-fetch-site",
    "sec-fetch-mode",
    "connect-protocol-version",
    "connect-timeout-ms",
    "connect-content-encoding",
    "grpc-timeout",
    "grpc-encoding",
  ].map((name, index) => [name, 1 << index]),
);

const HOST = /^(?:\[([0-9a-f:.]+)\]|([^:[\]@/\s]+))(?::\d{1,5})?$/;

/**
 * What a listener refuses before anything else of a request is looked at: headers that occur twice, names that are not its own, and
 * what a page of another site makes a browser send.
 *
 * A browser that resolved `evil.example` to 127.0.0.1 (DNS rebinding) sends requests of that site's pages here, and takes
 * them for requests within the site. Only `Host` shows it. Where callers need no credential, as at a sidecar, that alone would
 * make the page the agent.
 */
export class RequestRules {
  readonly #anyHost: boolean;
  readonly #hosts: ReadonlySet<string>;
  /** Most requests have the same. */
  #lastAllowed: string | undefined;

  constructor({ address, encrypted, allowedHosts }: RequestRulesOptions) {
    this.#anyHost = encrypted || address.kind === "unix";
    const own = address.kind === "tcp" ? [address.host] : [];
    this.#hosts = new Set([...own, ...allowedHosts].map((host) => host.toLowerCase()));
  }

  /** Why the request is refused; null if it may go on. */
  problemOf({ method, headers, rawHeaders }: RequestHead): Fault | null {
    const repeated = firstRepeated(rawHeaders);
    if (repeated !== null) {
      return new Fault("REQUEST_MALFORMED", `The header ${repeated} occurs twice.`);
    }
    const host = text(headers[":authority"]) ?? text(headers["host"]);
    const authority = text(headers["host"]);
    if (authority !== undefined && authority !== host) {
      return new Fault("REQUEST_MALFORMED", "The headers :authority and host differ.");
    }
    if (!this.#allows(host)) {
      return new Fault(
        "HOST_NOT_ALLOWED",
        "The request is for another host. If a proxy passes that name on, add it to DATACRAWL_ALLOWED_HOSTS.",
      );
    }
    return isOfOtherSite(method, headers, host)
      ? new Fault("CROSS_SITE", "Requests from other sites are refused.")
      : null;
  }

  /** A request without a host (HTTP/1.0) is no browser's. */
  #allows(host: string | undefined): boolean {
    if (this.#anyHost || host === undefined || host === this.#lastAllowed) return true;
    const [, address, name] = HOST.exec(host.toLowerCase()) ?? [];
    const which = address ?? name;
    if (which === undefined || !(isLoopback(which) || this.#hosts.has(which))) return false;
    this.#lastAllowed = host;
    return true;
  }
}

/** Browsers say where a request comes from. Who sends neither header is no browser, and has no cookie that was not given to it. */
function isOfOtherSite(method: string | undefined, headers: RequestHead["headers"], host: string | undefined): boolean {
  const origin = text(headers["origin"]);
  if (origin !== undefined && (host === undefined || URL.parse(origin)?.host !== host.toLowerCase())) return true;
  const site = text(headers["sec-fetch-site"]);
  if (site === undefined || site === "same-origin") return false;
  // Links, bookmarks and what somebody types lead to pages, which are shown to that person alone.
  const isPage = method === "GET" || method === "HEAD";
  return !(isPage && (site === "none" || text(headers["sec-fetch-mode"]) === "navigate"));
}

function firstRepeated(rawHeaders: readonly string[]): string | null {
  let seen = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] as string).toLowerCase();
    const bit = SINGLE.get(name);
    if (bit === undefined) continue;
    if ((seen & bit) !== 0) return name;
    seen |= bit;
  }
  return null;
}

function text(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
