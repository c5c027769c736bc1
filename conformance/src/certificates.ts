/**
 * X.509 certificates for the TLS cases, right and wrong, made at each start: none is kept, so none expires in a
 * repository. As much DER (ITU-T X.690) and RFC 5280 as that takes.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIP } from "node:net";
import { concat, utf8 } from "./protobuf.ts";

export interface Certificate {
  readonly certPem: string;
  readonly keyPem: string;
  readonly name: string;
  readonly key: KeyObject;
  readonly keyId: Uint8Array;
}

export interface CertificateOptions {
  /** The subject's common name. */
  readonly name: string;
  /** Who signs; absent: itself. */
  readonly issuer?: Certificate;
  readonly authority?: boolean;
  /** Host names, addresses and URIs that it is good for. */
  readonly hosts?: readonly string[];
  readonly usage?: "server" | "client";
  /** The first byte of keyUsage. Absent: keyCertSign and cRLSign for an authority, digitalSignature for the others. */
  readonly keyUsage?: number;
  /** From the present to a day ahead if absent. Milliseconds since 1970. */
  readonly from?: number;
  readonly until?: number;
}

const HOUR = 3_600_000;

export function certificate(now: number, options: CertificateOptions): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicDer = publicKey.export({ type: "spki", format: "der" });
  const keyId = createHash("sha1").update(publicDer).digest();
  const issuer = options.issuer ?? { name: options.name, key: privateKey, keyId };
  const body = sequence(
    context(0, integer(Uint8Array.of(2))),
    integer(concat(Uint8Array.of(1), randomBytes(15))),
    ECDSA_SHA256,
    distinguishedName(issuer.name),
    sequence(time(options.from ?? now - HOUR), time(options.until ?? now + 24 * HOUR)),
    distinguishedName(options.name),
    publicDer,
    context(3, sequence(...extensions(options, keyId, issuer.keyId))),
  );
  const signed = sequence(body, ECDSA_SHA256, der(0x03, Uint8Array.of(0), sign("sha256", body, issuer.key)));
  const certPem = `-----BEGIN CERTIFICATE-----\n${wrapped(signed)}\n-----END CERTIFICATE-----\n`;
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { certPem, keyPem, name: options.name, key: privateKey, keyId };
}

function wrapped(bytes: Uint8Array): string {
  return (
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  ).join("\n");
}

function extensions(options: CertificateOptions, keyId: Uint8Array, issuerKeyId: Uint8Array): Uint8Array[] {
  const { authority = false, hosts = [], usage = "server", keyUsage = authority ? 0x06 : 0x80 } = options;
  const purpose = usage === "server" ? 1 : 2;
  const all = [
    extension("551d13", true, authority ? sequence(TRUE) : sequence()),
    // In DER the bits end with the last one that is set.
    extension("551d0f", true, der(0x03, Uint8Array.of(31 - Math.clz32(keyUsage & -keyUsage), keyUsage))),
    extension("551d0e", false, der(0x04, keyId)),
    extension("551d23", false, sequence(der(0x80, issuerKeyId))),
  ];
  if (!authority) all.push(extension("551d25", false, sequence(oid(`2b0601050507030${purpose}`))));
  if (hosts.length > 0) all.push(extension("551d11", false, sequence(...hosts.map(alternativeName))));
  return all;
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  return sequence(oid(id), ...(critical ? [TRUE] : []), der(0x04, value));
}

function alternativeName(host: string): Uint8Array {
  if (host.includes("://")) return der(0x86, utf8(host));
  if (isIP(host) === 0) return der(0x82, utf8(host));
  return der(0x87, Uint8Array.from(host.split(".").map(Number)));
}

function distinguishedName(name: string): Uint8Array {
  return sequence(der(0x31, sequence(oid("550403"), der(0x0c, utf8(name)))));
}

/** GeneralizedTime would do for every year, but RFC 5280 wants UTCTime before 2050. */
function time(at: number): Uint8Array {
  const digits = new Date(at).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return at < Date.UTC(2050, 0) ? der(0x17, utf8(digits.slice(2))) : der(0x18, utf8(digits));
}

function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = concat(...contents);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return concat(Uint8Array.of(tag, ...size), content);
}

function sequence(...contents: readonly Uint8Array[]): Uint8Array {
  return der(0x30, ...contents);
}

function context(tag: number, content: Uint8Array): Uint8Array {
  return der(0xa0 | tag, content);
}

function integer(bytes: Uint8Array): Uint8Array {
  return der(0x02, bytes);
}

/** An object identifier from its content octets in hexadecimal. */
function oid(hex: string): Uint8Array {
  return der(0x06, Buffer.from(hex, "hex"));
}

const TRUE = der(0x01, Uint8Array.of(0xff));
const ECDSA_SHA256 = sequence(oid("2a8648ce3d040302"));
