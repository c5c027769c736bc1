import { domainToASCII } from "node:url";
import { parseIp } from "./ip.ts";
import { parsePath, type StrictPath } from "./path.ts";

/** A URL that every reader splits alike. */
export class Url {
  /** In lower case. */
  readonly scheme: string;
  /** In lower case; an IPv6 address without brackets, as RFC 5952 writes it. */
  readonly hostname: string;
  /** What it says, or what its scheme stands for; `""` where neither is known. */
  readonly port: string;
  /** As it was written, `/` if it was not. */
  readonly rawPath: string;

  constructor(scheme: string, hostname: string, port: string, rawPath: string) {
    this.scheme = scheme;
    this.hostname = hostname;
    this.port = port;
    this.rawPath = rawPath;
  }

  /** The path, or why readers could disagree about it. */
  path(): StrictPath | string {
    return parsePath(this.rawPath, true);
  }

  /** As it was written, with escapes in one form. */
  get escapedPath(): string {
    return this.rawPath.replace(/%[0-9A-Fa-f]{2}/g, normalizeEscape);
  }
}

const MAX_LENGTH = 8_192;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: "80", https: "443", ws: "80", wss: "443", ftp: "21" };
/** Scheme, host, port, path, and what follows it. Credentials do not fit: readers have disagreed about where they end. */
const SYNTAX =
  /^([A-Za-z][A-Za-z0-9+.-]{0,31}):\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]+))?(?:(\/[^?#]*)([?#].*)?)?$/;
const LABEL = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;
const PATH = /^[A-Za-z0-9/._~!$&'()*+,;=:@%-]+$/;

/** Reads an absolute URL with a host, or returns why `text` is not one. */
export function parseUrl(text: string): Url | string {
  if (text.length > MAX_LENGTH) return `it has more than ${MAX_LENGTH} characters`;
  if (!/^[!-[\]-~]*$/.test(text)) return "it has a space, a backslash, a control character or one beyond ASCII";
  const [, scheme, host, port, path] = SYNTAX.exec(text) ?? [];
  if (scheme === undefined || host === undefined) {
    return "it is not written as https://host/path, or https://host:443/path, without credentials";
  }
  const hostname = host.startsWith("[") ? ipv6Of(host) : hostnameOf(host.toLowerCase());
  if (hostname === null) return "its host is neither a name nor an address";
  if (port !== undefined && !isPort(port)) return "its port is not a number from 1 to 65535";
  if (path !== undefined && (!PATH.test(path) || /%(?![0-9A-Fa-f]{2})/.test(path)))
    return "its path has characters that have to be escaped";
  const lower = scheme.toLowerCase();
  return new Url(lower, hostname, port ?? DEFAULT_PORTS[lower] ?? "", path ?? "/");
}

function ipv6Of(host: string): string | null {
  const ip = parseIp(host.slice(1, -1));
  return typeof ip !== "string" && ip.family === 6 ? ip.text : null;
}

/** A name that ends in a number is an address, for readers that take `0x7f.1` for 127.0.0.1 too. */
function hostnameOf(host: string): string | null {
  const labels = host.split(".");
  if (host.length > 253 || !labels.every((label) => LABEL.test(label))) return null;
  if (/^([0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "")) return typeof parseIp(host) === "string" ? null : host;
  return host.includes("xn--") && domainToASCII(host) !== host ? null : host;
}

function isPort(port: string): boolean {
  return /^[1-9][0-9]{0,4}$/.test(port) && Number(port) <= 65_535;
}

/** Letters, digits, `_`, `~` and `-` need no escape, and the others have capitals. */
function normalizeEscape(escape: string): string {
  const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
  return /[A-Za-z0-9_~-]/.test(character) ? character : escape.toUpperCase();
}
