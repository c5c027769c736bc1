import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RequestRules } from "../../../src/server/limits/request-rules.ts";

const rulesFor = (host: string, more: { encrypted?: boolean; allowedHosts?: string[] } = {}): RequestRules =>
  new RequestRules({
    address: { kind: "tcp", host, port: 7441, variable: "X" },
    encrypted: false,
    allowedHosts: [],
    ...more,
  });
const SOCKET = new RequestRules({
  address: { kind: "unix", path: "/x", variable: "X" },
  encrypted: false,
  allowedHosts: [],
});

/** What becomes of a request with these headers, of which Node has dropped what it drops. */
function codeOf(rules: RequestRules, pairs: readonly (readonly [string, string])[], method = "POST"): string {
  const headers: Record<string, string> = {};
  for (const [name, value] of pairs) headers[name.toLowerCase()] ??= value;
  return rules.problemOf({ method, headers, rawHeaders: pairs.flat() })?.code ?? "passes";
}

describe("the host of a request to a listener without TLS", () => {
  const rules = rulesFor("127.0.0.1", { allowedHosts: ["authz.example.org", "fd00::1"] });

  test.each([
    "localhost",
    "LocalHost:7441",
    "localhost:1",
    "127.0.0.1:7441",
    "127.9.9.9",
    "[::1]:7441",
    "authz.example.org",
    "AUTHZ.example.org:443",
    "[fd00::1]:7441",
  ])("may be %s", (host) => expect(codeOf(rules, [["Host", host]])).toBe("passes"));

  test.each([
    "evil.example",
    "evil.example:7441",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "localhost.",
    "localhost:7441:1",
    "localhost:port",
    "localhost/x",
    "local host",
    "0.0.0.0:7441",
    "10.0.0.1",
    "[fd00::2]",
    "[localhost]",
    "::1",
    "x.authz.example.org",
    "authz.example.org.",
    "",
  ])("may not be %j", (host) => {
    expect(codeOf(rules, [["Host", host]])).toBe("HOST_NOT_ALLOWED");
    expect(codeOf(rules, [[":authority", host]])).toBe("HOST_NOT_ALLOWED");
  });

  test("is no other text that ends or begins like one that it may be", () => {
    const part = fc.string({ minLength: 1, maxLength: 8 }).filter((text) => !/^:\d{1,5}$/.test(text));
    fc.assert(
      fc.property(fc.constantFrom("localhost", "127.0.0.1", "[::1]"), part, (host, more) => {
        for (const text of [`${host}${more}`, `${more}${host}`]) {
          if (/^127(\.\d{1,3}){3}(:\d{1,5})?$/.test(text)) continue;
          expect(codeOf(rulesFor("127.0.0.1"), [["Host", text]])).not.toBe("passes");
        }
      }),
    );
  });

  test("is not remembered as allowed because another one was", () => {
    expect(codeOf(rules, [["Host", "localhost"]])).toBe("passes");
    expect(codeOf(rules, [["Host", "evil.example"]])).toBe("HOST_NOT_ALLOWED");
    expect(codeOf(rules, [["Host", "evil.example"]])).toBe("HOST_NOT_ALLOWED");
  });

  test("may be absent, as in HTTP/1.0, and must not be two", () => {
    expect(codeOf(rules, [])).toBe("passes");
    expect(
      codeOf(rules, [
        [":authority", "localhost"],
        ["host", "localhost:1"],
      ]),
    ).toBe("REQUEST_MALFORMED");
    expect(
      codeOf(rules, [
        [":authority", "localhost"],
        ["host", "localhost"],
      ]),
    ).toBe("passes");
  });
});

test("with TLS, or on a Unix socket, the host is not looked at", () => {
  for (const rules of [rulesFor("0.0.0.0", { encrypted: true }), SOCKET])
    expect(codeOf(rules, [["Host", "evil.example"]])).toBe("passes");
});

describe("a header that says one thing", () => {
  test.each([
    "Authorization",
    "HOST",
    "content-type",
    "Content-Encoding",
    "grpc-timeout",
    "connect-timeout-ms",
    "origin",
  ])("is refused twice, also with the same value: %s", (name) => {
    const host = name === "HOST" ? [] : [["host", "localhost"] as const];
    expect(codeOf(SOCKET, [...host, [name, "localhost"], ["x", "1"], [name.toLowerCase(), "localhost"]])).toBe(
      "REQUEST_MALFORMED",
    );
  });

  test("may come beside any number of others", () => {
    expect(
      codeOf(SOCKET, [
        ["authorization", "a"],
        ["accept", "x"],
        ["accept", "y"],
        ["x-a", "1"],
        ["x-a", "2"],
      ]),
    ).toBe("passes");
  });
});

describe("what a browser says of where a request comes from", () => {
  const from = (headers: Record<string, string>, method = "POST"): string =>
    codeOf(rulesFor("127.0.0.1"), [["host", "localhost:7442"], ...Object.entries(headers)], method);

  test.each<[Record<string, string>, string]>([
    [{}, "passes"],
    [{ origin: "http://localhost:7442" }, "passes"],
    [{ origin: "http://localhost:7442", "sec-fetch-site": "same-origin" }, "passes"],
    [{ origin: "http://localhost:7443" }, "CROSS_SITE"],
    [{ origin: "http://127.0.0.1:7442" }, "CROSS_SITE"],
    [{ origin: "https://evil.example" }, "CROSS_SITE"],
    [{ origin: "null" }, "CROSS_SITE"],
    [{ origin: "" }, "CROSS_SITE"],
    [{ "sec-fetch-site": "cross-site" }, "CROSS_SITE"],
    [{ "sec-fetch-site": "same-site" }, "CROSS_SITE"],
    [{ "sec-fetch-site": "none" }, "CROSS_SITE"],
    [{ "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" }, "CROSS_SITE"],
  ])("%j: %s", (headers, code) => expect(from(headers)).toBe(code));

  test.each<[Record<string, string>, string]>([
    [{ "sec-fetch-site": "none", "sec-fetch-mode": "navigate" }, "passes"],
    [{ "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" }, "passes"],
    [{ "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" }, "CROSS_SITE"],
    [{ "sec-fetch-site": "same-site", "sec-fetch-mode": "cors" }, "CROSS_SITE"],
  ])("for a page, %j: %s", (headers, code) => {
    expect(from(headers, "GET")).toBe(code);
    expect(from(headers, "HEAD")).toBe(code);
  });
});
