import { parseCidr, parseIp } from "./ip.ts";
import { binary, cidr, type FunctionEntry, free, ip, type Overload, path, string, unary, url } from "./overload.ts";
import { parsePath } from "./path.ts";
import { parseUrl } from "./url.ts";
import { BOOL, CIDR, Failure, INT, IP, type Kinds, type Parsed, PATH, STRING, URL } from "./value.ts";

/** The longest text that is read is of 8,192 characters; a longer one costs no more than to see that. */
const cost = (text: string): number => 4 + Math.min(text.length, 8_192) / 2;

/**
 * Texts whose parts decide: URLs, IP addresses and paths. Names and meanings are the Kubernetes CEL library's, as far as they leave a
 * rule no way to miss: `getHost`, which keeps the port, and `isGlobalUnicast`, which holds for private addresses, are left out.
 */
export const PARSERS: ReadonlyMap<string, FunctionEntry> = new Map<string, FunctionEntry>([
  ["url", parser("URL", URL, parseUrl)],
  ["isURL", tester(parseUrl)],
  ["getScheme", method(unary(url, STRING, free, ({ scheme }) => scheme))],
  ["getHostname", method(unary(url, STRING, free, ({ hostname }) => hostname))],
  ["getPort", method(unary(url, STRING, free, ({ port }) => port))],
  [
    "getEscapedPath",
    method(
      unary(
        url,
        STRING,
        ({ rawPath }) => cost(rawPath),
        (a, offset) => {
          const parsed = a.path();
          return typeof parsed === "string" ? notA("URL path", parsed, offset) : a.escapedPath;
        },
      ),
    ),
  ],
  ["ip", parser("IP address", IP, parseIp)],
  ["isIP", tester(parseIp)],
  ["family", method(unary(ip, INT, free, ({ family }) => BigInt(family)))],
  ["isLoopback", method(inRanges("127.0.0.0/8", "::1/128"))],
  ["isUnspecified", method(inRanges("0.0.0.0/32", "::/128"))],
  ["isLinkLocalUnicast", method(inRanges("169.254.0.0/16", "fe80::/10"))],
  ["cidr", parser("IP range", CIDR, parseCidr)],
  ["isCIDR", tester(parseCidr)],
  [
    "containsIP",
    method(
      binary([cidr, ip], BOOL, free, (a, b) => a.contains(b)),
      binary(
        [cidr, string],
        BOOL,
        (_, b) => cost(b),
        (a, b, offset) => {
          const parsed = parseIp(b);
          return typeof parsed === "string" ? notA("IP address", parsed, offset) : a.contains(parsed);
        },
      ),
    ),
  ],
  [
    "containsCIDR",
    method(
      binary([cidr, cidr], BOOL, free, (a, b) => a.containsRange(b)),
      binary(
        [cidr, string],
        BOOL,
        (_, b) => cost(b),
        (a, b, offset) => {
          const parsed = parseCidr(b);
          return typeof parsed === "string" ? notA("IP range", parsed, offset) : a.containsRange(parsed);
        },
      ),
    ),
  ],
  [
    "path",
    {
      style: "function",
      overloads: [
        ...parser("path", PATH, (text) => parsePath(text, false)).overloads,
        unary(
          url,
          PATH,
          ({ rawPath }) => cost(rawPath),
          (a, offset) => {
            const parsed = a.path();
            return typeof parsed === "string" ? notA("URL path", parsed, offset) : parsed;
          },
        ),
      ],
    },
  ],
  [
    "isWithin",
    method(
      binary(
        [path, string],
        BOOL,
        (_, b) => cost(b),
        (a, b, offset) => {
          const parent = parsePath(b, false);
          if (typeof parent === "string") return notA("path", parent, offset);
          // Nobody here knows which directory a relative path starts from.
          if (a.absolute === parent.absolute) return a.isWithin(parent);
          return new Failure("a relative path is held against an absolute one", offset);
        },
      ),
    ),
  ],
]);

/** Functions that the Kubernetes library has, or authors try, and what to write. */
export const INSTEAD: ReadonlyMap<string, string> = new Map([
  ["getHost", "it keeps the port, so a rule could miss a host; write getHostname() and getPort()"],
  ["host", "write url(x).getHostname()"],
  ["hostname", "write url(x).getHostname()"],
  ["scheme", "write url(x).getScheme()"],
  ["port", "write url(x).getPort()"],
  ["getQuery", "which of two parameters of one name counts is not known here; match the text"],
  ["isGlobalUnicast", 'it holds for private addresses; write the ranges, as in cidr("10.0.0.0/8").containsIP(x)'],
]);

type Parser = (text: string) => Parsed | string;

/** Reads the literals that rules give to these functions, which they take last. */
const OF_LITERALS: ReadonlyMap<string, Parser> = new Map<string, Parser>([
  ["url", parseUrl],
  ["ip", parseIp],
  ["cidr", parseCidr],
  ["containsIP", parseIp],
  ["containsCIDR", parseCidr],
  ["path", (text) => parsePath(text, false)],
  ["isWithin", (text) => parsePath(text, false)],
]);

/** Why `name` would fail on each call with a literal, or null. */
export function literalProblem(name: string, literal: string): string | null {
  const parsed = OF_LITERALS.get(name)?.(literal);
  return typeof parsed === "string" ? `${name} does not take ${JSON.stringify(literal)}: ${parsed}` : null;
}

function method(...overloads: readonly Overload[]): FunctionEntry {
  return { style: "method", overloads };
}

function parser(what: string, gives: Kinds, parse: Parser): FunctionEntry {
  const overload = unary(string, gives, cost, (text, offset) => {
    const parsed = parse(text);
    return typeof parsed === "string" ? notA(what, parsed, offset) : parsed;
  });
  return { style: "function", overloads: [overload] };
}

function tester(parse: Parser): FunctionEntry {
  return { style: "function", overloads: [unary(string, BOOL, cost, (text) => typeof parse(text) !== "string")] };
}

function inRanges(...texts: readonly string[]): Overload {
  const ranges = texts.map(parseCidr).filter((range) => typeof range !== "string");
  return unary(ip, BOOL, free, (a) => ranges.some((range) => range.contains(a)));
}

/** @param why of the parsers' own words, so that no message reveals what the payload holds */
function notA(what: string, why: string, offset: number): Failure {
  return new Failure(`a string is not a valid ${what}: ${why}`, offset);
}
