import { BlockList } from "node:net";
import { posix } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseCidr, parseIp } from "../../src/policy/cel/ip.ts";
import { parsePath } from "../../src/policy/cel/path.ts";
import { parseUrl } from "../../src/policy/cel/url.ts";
import { complaints, evaluate } from "./support.ts";

const RUNS = { numRuns: 3000 };

describe("url()", () => {
  it.each([
    ["https://api.github.com/repos", "https", "api.github.com", "443", "/repos"],
    ["HTTPS://API.GitHub.com", "https", "api.github.com", "443", "/"],
    ["http://localhost:8080/?q=a@b", "http", "localhost", "8080", "/"],
    ["https://10.0.0.1/%7Euser/%c3%a4#x", "https", "10.0.0.1", "443", "/~user/%C3%A4"],
    ["wss://[2001:DB8:0::1]:444/", "wss", "2001:db8::1", "444", "/"],
    ["postgres://db/x", "postgres", "db", "", "/x"],
    ["https://xn--bcher-kva.example/", "https", "xn--bcher-kva.example", "443", "/"],
  ])("splits %s", (url, scheme, host, port, path) => {
    const parts = `url(payload.u).getScheme() == "${scheme}" && url(payload.u).getHostname() == "${host}"
      && url(payload.u).getPort() == "${port}" && url(payload.u).getEscapedPath() == "${path}" && isURL(payload.u)`;
    expect(evaluate(parts, { u: url })).toBe(true);
  });

  it.each([
    "",
    "api.github.com",
    "//api.github.com/",
    "/path",
    "mailto:ann@example.com",
    "javascript:alert(1)",
    "https:/api.github.com/",
    "https:api.github.com",
    "https:///x",
    "https://api.github.com@evil.test/",
    "https://user:pw@api.github.com/",
    "https://api.github.com\\@evil.test/",
    "https://evil.test\\.api.github.com/",
    "https://api.github.com?@evil.test/",
    "https://api.github.com#@evil.test/",
    " https://api.github.com/",
    "https://api.github.com/ x",
    "https://api.git\thub.com/",
    "https://api.github.com\n/",
    "https://api.github.com%2eevil.test/",
    "https://api.github.com./",
    "https://.github.com/",
    "https://a..b/",
    "https://api.github.com:/",
    "https://api.github.com:0443/",
    "https://api.github.com:65536/",
    "https://api.github.com:443x/",
    "https://bücher.example/",
    "https://ａpi.github.com/",
    "https://xn--/",
    "https://0x7f.1/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://1.2.3.4.5/",
    "https://a.0/",
    "https://[::1/",
    "https://[fe80::1%25eth0]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[10.0.0.1]/",
    "https://h/%zz",
    "https://h/a b",
    "https://h/<x>",
    `https://h/${"a".repeat(9000)}`,
    `https://${"a.".repeat(127)}com/`,
  ])("takes no %j", (url) => {
    expect(evaluate("isURL(payload.u)", { u: url })).toBe(false);
    const outcome = evaluate('url(payload.u).getHostname() == "x"', { u: url });
    expect(outcome).toMatch(/^a string is not a valid URL: /);
  });

  it.each([
    "/..",
    "/a/../b",
    "/a/./b",
    "/a//b",
    "//a",
    "/%2e%2e/b",
    "/a/.%2E/b",
    "/a%2fb",
    "/a%5cb",
    "/a%00",
    "/a%252e",
    "/a%c0%ae",
    "/a%ff",
    "/..;x/b",
    "/a/...",
    "/%2e",
    "/a%3bb",
  ])("gives no path that readers disagree about: %s", (path) => {
    const payload = { u: `https://h${path}` };
    expect(evaluate("isURL(payload.u)", payload)).toBe(true);
    expect(evaluate('url(payload.u).getEscapedPath() == "x"', payload)).toMatch(/^a string is not a valid URL path/);
    expect(evaluate('path(url(payload.u)).isWithin("/a")', payload)).toMatch(/^a string is not a valid URL path/);
  });

  it("splits what it takes as the WHATWG's parser does", () => {
    const piece = fc.constantFrom(
      ..."http:// https:// wss:// ftp:// :// / // \\ . .. %2e %2F %41 @ : :80 :443 # ? a b evil.test api.github.com A 1 127.0.0.1 0x7f [::1] [::ffff:1.2.3.4] ; & = ~ xn-- xn--bcher-kva ü ０ _ -".split(
        " ",
      ),
      " ",
      "\t",
      "\0",
    );
    const shaped = fc
      .tuple(fc.constantFrom("http://", "https://", "wss://", "ftp://"), fc.array(piece, { maxLength: 8 }))
      .map(([scheme, parts]) => scheme + parts.join(""));
    let taken = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          shaped,
          fc.array(piece, { maxLength: 10 }).map((parts) => parts.join("")),
          fc.webUrl(),
        ),
        (text) => {
          const url = parseUrl(text);
          if (typeof url === "string") return;
          taken++;
          const whatwg = new URL(text);
          expect(`${url.scheme}:`).toBe(whatwg.protocol);
          expect(url.hostname).toBe(whatwg.hostname.toLowerCase().replace(/^\[|\]$/g, ""));
          if (whatwg.port !== "") expect(url.port).toBe(whatwg.port);
          expect([whatwg.username, whatwg.password]).toEqual(["", ""]);
          // The WHATWG leaves the path of a scheme that it does not know empty; ours is "/", as RFC 3986 has it for an authority.
          if (url.port !== "" && typeof url.path() !== "string")
            expect(decodeURIComponent(url.escapedPath)).toBe(decodeURIComponent(whatwg.pathname || "/"));
        },
      ),
      RUNS,
    );
    expect(taken).toBeGreaterThan(500);
  });
});

describe("ip() and cidr()", () => {
  it.each([
    ['cidr("10.0.0.0/8").containsIP(ip(payload.a))', { a: "10.1.2.3" }, true],
    ['cidr("10.0.0.0/8").containsIP(payload.a)', { a: "11.1.2.3" }, false],
    ['cidr("10.0.0.0/8").containsIP(payload.a)', { a: "2001:db8::1" }, false],
    ['cidr("2001:db8::/32").containsIP(payload.a)', { a: "2001:DB8:ffff::" }, true],
    ['cidr("0.0.0.0/0").containsCIDR(payload.a)', { a: "10.0.0.0/8" }, true],
    ['cidr("10.0.0.0/9").containsCIDR(cidr(payload.a))', { a: "10.0.0.0/8" }, false],
    ["ip(payload.a).isLoopback() && !ip(payload.a).isUnspecified()", { a: "127.8.8.8" }, true],
    ["ip(payload.a).isLinkLocalUnicast() && ip(payload.a).family() == 4", { a: "169.254.169.254" }, true],
    ["ip(payload.a).isUnspecified() && ip(payload.a).family() == 6", { a: "::" }, true],
    ['ip(payload.a) == ip("2001:db8::1")', { a: "2001:0db8:0:0::1" }, true],
    ['ip(payload.a) in [ip("10.0.0.1"), ip("10.0.0.2")]', { a: "10.0.0.2" }, true],
    ["isIP(url(payload.a).getHostname())", { a: "https://[2001:db8::1]/" }, true],
    ["isIP(payload.a) || isCIDR(payload.a)", { a: "10.0.0.0/33" }, false],
    ['["10.0.0.0/8", "fc00::/7"].exists(r, cidr(r).containsIP(payload.a))', { a: "fd00::1" }, true],
  ])("%s with %j is %s", (source, payload, value) => {
    expect(evaluate(source, payload)).toBe(value);
  });

  it.each([
    "",
    "10.0.0",
    "010.0.0.1",
    "10.0.0.256",
    "0x0a.0.0.1",
    "10.0.0.1 ",
    "::ffff:10.0.0.1",
    "fe80::1%eth0",
    "[::1]",
    "1::2::3",
    "x".repeat(100),
  ])("takes no address %j", (text) => {
    expect(evaluate("ip(payload.a).isLoopback()", { a: text })).toMatch(/^a string is not a valid IP address: /);
    expect(evaluate('cidr("0.0.0.0/0").containsIP(payload.a)', { a: text })).toMatch(
      /^a string is not a valid IP address: /,
    );
  });

  it.each([
    "",
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/08",
    "10.0.0.1/8",
    "::/129",
    "::ffff:0:0/96",
    "10.0.0.0/8/8",
  ])("takes no range %j", (text) => {
    expect(evaluate('cidr(payload.a).containsIP("10.0.0.1")', { a: text })).toMatch(
      /^a string is not a valid IP range: /,
    );
  });

  it("contain what Node's BlockList contains", () => {
    const octet = fc.constantFrom(0, 1, 10, 127, 128, 255);
    const ipv4 = fc.array(octet, { minLength: 4, maxLength: 4 }).map((parts) => parts.join("."));
    const address = fc.oneof(ipv4, fc.ipV6());
    fc.assert(
      fc.property(address, address, fc.nat(128), (base, other, length) => {
        const [ip, probe] = [parseIp(base), parseIp(other)];
        if (typeof ip === "string" || typeof probe === "string") return;
        const width = ip.family === 4 ? 32 : 128;
        const bits = length % (width + 1);
        const network = (ip.bits >> BigInt(width - bits)) << BigInt(width - bits);
        const text = ip.family === 4 ? quad(network) : groups(network);
        const range = parseCidr(`${text}/${bits}`);
        if (typeof range === "string") return expect(range).toContain("IPv4 address written as IPv6");
        const list = new BlockList();
        list.addSubnet(text, bits, `ipv${ip.family}`);
        for (const each of [ip, probe]) {
          const expected = each.family === ip.family && list.check(each.text, `ipv${each.family}`);
          expect(range.contains(each)).toBe(expected);
        }
      }),
      RUNS,
    );
  });
});

function quad(bits: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (bits >> shift) & 255n).join(".");
}

function groups(bits: bigint): string {
  return Array.from({ length: 8 }, (_, i) => ((bits >> BigInt(112 - 16 * i)) & 0xffffn).toString(16)).join(":");
}

describe("path()", () => {
  it.each([
    ["/srv/data", "/srv/data", true],
    ["/srv/data/a.txt", "/srv/data", true],
    ["/srv/data/a.txt", "/srv/data/", true],
    ["/srv/database", "/srv/data", false],
    ["/srv", "/srv/data", false],
    ["/anything", "/", true],
    ["src/main.ts", "src", true],
    ["/srv/data/.env", "/srv/data", true],
    ["/srv/data/a b", "/srv/data", true],
  ])("%s is within %s: %s", (path, parent, value) => {
    expect(evaluate(`path(payload.p).isWithin("${parent}")`, { p: path })).toBe(value);
  });

  it.each([
    "",
    "/srv/data/../../etc/passwd",
    "/srv/data/..",
    "..",
    ".",
    "/srv/./data",
    "/srv//data",
    "//srv",
    "/srv/data/%2e%2e/x",
    "/srv/data%2f..",
    "/srv/data/%41",
    "/srv/data/.. /x",
    "/srv\\data",
    "/srv/data\0.txt",
    "/srv/data\n",
    "~/data",
    "~root/x",
    "x".repeat(9000),
  ])("takes no %j", (path) => {
    expect(evaluate('path(payload.p).isWithin("/srv/data")', { p: path })).toMatch(/^a string is not a valid path: /);
  });

  it("holds no relative path against an absolute one", () => {
    expect(evaluate('path(payload.p).isWithin("/etc")', { p: "etc/passwd" })).toContain("a relative path");
  });

  it("compares a URL's path without its escapes", () => {
    const u = (path: string) => ({ u: `https://api.github.com${path}` });
    expect(evaluate('path(url(payload.u)).isWithin("/repos/@acme")', u("/rep%6fs/%40acme/x"))).toBe(true);
    expect(evaluate('path(url(payload.u)).isWithin("/repos/acme")', u("/repos/acme-evil"))).toBe(false);
  });

  it("is within a directory only if it stays there for every reader, however often decoded", () => {
    const piece = fc.constantFrom("/", "..", ".", "a", "b", "srv", "%2e", "%2f", "%25", "%61", "\\", " ", ";", "~");
    const text = fc.array(piece, { maxLength: 10 }).map((parts) => parts.join(""));
    let within = 0;
    fc.assert(
      fc.property(text, fc.boolean(), (rest, isOfUrl) => {
        const parent = parsePath("/srv", false);
        const path = parsePath(`/srv/${rest}`, isOfUrl);
        if (typeof path === "string" || typeof parent === "string" || !path.isWithin(parent)) return;
        within++;
        let read = `/srv/${rest}`;
        for (let decoded = 0; decoded < 3; decoded++) {
          expect(`${posix.normalize(read.replaceAll("\\", "/"))}/`).toMatch(/^\/srv\//);
          read = decodeURIComponent(read);
        }
      }),
      RUNS,
    );
    expect(within).toBeGreaterThan(100);
  });
});

describe("literals that these functions never take", () => {
  it.each([
    ['url("api.github.com").getHostname() == payload.h', '0: url does not take "api.github.com": it is not written as'],
    ['cidr("10.0.0.1/8").containsIP(payload.a)', '0: cidr does not take "10.0.0.1/8": its address has bits beyond'],
    ['cidr("10.0.0.0/8").containsIP("10.0.0")', 'containsIP does not take "10.0.0"'],
    ['path(payload.p).isWithin("/srv/../etc")', 'isWithin does not take "/srv/../etc": it has a segment'],
    ["url(payload.u).getHost() == 'x'", "there is no function getHost: it keeps the port"],
    ["url(payload.u) == url(payload.v)", "a URL never equals a URL"],
    ["url(payload.u) == 'https://x/'", "a URL never equals a string"],
    ["url(payload.u).host == 'x'", 'a URL has no fields such as "host"'],
    ["ip(payload.u) < ip(payload.v)", "an IP address has no order with an IP address"],
    ["getHostname(payload.u) == 'x'", "getHostname is written behind its text"],
    ["payload.u.getHostname() == 'x'", "getHostname does not take a value of any kind; it takes a URL"],
  ])("are refused: %s", (source, complaint) => {
    expect(complaints(source).join("\n")).toContain(complaint);
  });
});
