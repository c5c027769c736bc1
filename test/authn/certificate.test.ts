import { X509Certificate } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { namedBy } from "../../src/authn/certificate.ts";
import { maySignCertificates } from "../../src/authn/key-usage.ts";
import { certificate, type CertificateOptions } from "../../conformance/src/certificates.ts";

const TEMPLATE = "spiffe://example.org/agent/{agent}";
const HOSTS = "{agent}.agents.example.org";

function issue(hosts: readonly string[], more: Partial<CertificateOptions> = {}): X509Certificate {
  return new X509Certificate(certificate(Date.now(), { name: "client", hosts, usage: "client", ...more }).certPem);
}

describe("a client certificate", () => {
  test.each<[string, string, readonly string[], object]>([
    ["its agent by one URI", TEMPLATE, ["spiffe://example.org/agent/bot"], { kind: "agent", agentId: "bot" }],
    ["its agent beside hosts", TEMPLATE, ["a", "spiffe://example.org/agent/bot"], { kind: "agent", agentId: "bot" }],
    ["its agent by one host among several", HOSTS, ["x", "bot.agents.example.org"], { kind: "agent", agentId: "bot" }],
    ["nobody by other URIs", TEMPLATE, ["spiffe://example.org/mesh"], { kind: "nobody" }],
    ["nobody without names", TEMPLATE, [], { kind: "nobody" }],
    ["nobody by a wildcard", HOSTS, ["*.agents.example.org"], { kind: "nobody" }],
  ])("names %s", (_, template, hosts, named) => {
    expect(namedBy(issue(hosts), template)).toEqual(named);
  });

  test.each<[string, string, readonly string[], Partial<CertificateOptions>, string]>([
    ["a foreign URI", TEMPLATE, ["spiffe://example.org/agent/bot", "https://x.example/"], {}, "another URI"],
    ["another agent", HOSTS, ["a.agents.example.org", "b.agents.example.org"], {}, "more than one agent"],
    ["the use of an authority", HOSTS, ["a.agents.example.org"], { authority: true, keyUsage: 0x80 }, "authority's"],
  ])("that names an agent and has %s is unfit", (_, template, hosts, more, problem) => {
    expect(namedBy(issue(hosts, more), template)).toMatchObject({
      kind: "unfit",
      problem: expect.stringContaining(problem),
    });
  });

  test.each([
    [0x80, false, false],
    [0xb8, false, false],
    [0x84, false, true],
    [0x82, false, true],
    [0x80, true, true],
    [0x06, true, true],
  ])("with the key usage %i, of an authority: %s, may sign others: %s", (keyUsage, authority, may) => {
    expect(maySignCertificates(issue([], { keyUsage, authority }))).toBe(may);
  });

  test("of any bytes is read to an end, and taken for an authority's where it cannot be read", () => {
    const { raw } = issue(["spiffe://example.org/agent/bot"]);
    const read = (bytes: Uint8Array): boolean => maySignCertificates({ raw: Buffer.from(bytes) } as X509Certificate);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(read(bytes)).toBeTypeOf("boolean");
      }),
    );
    fc.assert(
      fc.property(fc.nat(raw.length - 1), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        expect(read(raw.with(at, byte))).toBeTypeOf("boolean");
      }),
    );
    for (let length = 0; length < raw.length; length++) expect(read(raw.subarray(0, length))).toBe(true);
  });
});
