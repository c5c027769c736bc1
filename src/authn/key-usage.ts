import type { X509Certificate } from "node:crypto";

/** Object identifiers as DER: 2.5.29.19 and 2.5.29.15. */
const BASIC_CONSTRAINTS = Buffer.from("0603551d13", "hex");
const KEY_USAGE = Buffer.from("0603551d0f", "hex");
const [BOOLEAN, BIT_STRING, OCTET_STRING, SEQUENCE, EXTENSIONS] = [0x01, 0x03, 0x04, 0x30, 0xa3];
/** keyCertSign and cRLSign, in the first byte of the bits. */
const SIGNS_CERTIFICATES = 0x04 | 0x02;

/**
 * Whether a certificate is an authority's, or its key may sign certificates or lists of revoked ones. Node's `ca` is true only where
 * both are said, and its `keyUsage` is another extension.
 *
 * @returns true also where the certificate cannot be read
 */
export function maySignCertificates({ raw }: X509Certificate): boolean {
  try {
    const extensions = extensionsOf(raw);
    return isAuthority(valueOf(extensions, BASIC_CONSTRAINTS)) || signs(valueOf(extensions, KEY_USAGE));
  } catch {
    return true;
  }
}

/** `BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, … }` (RFC 5280, 4.2.1.9). */
function isAuthority(constraints: Buffer | null): boolean {
  if (constraints === null) return false;
  const first = children(only(constraints, SEQUENCE))[0];
  return first?.[0] === BOOLEAN && contentOf(first).some((byte) => byte !== 0);
}

/** `KeyUsage ::= BIT STRING` (RFC 5280, 4.2.1.3). The first byte of its content counts the bits that are not used. */
function signs(usage: Buffer | null): boolean {
  return usage !== null && ((only(usage, BIT_STRING)[1] ?? 0) & SIGNS_CERTIFICATES) !== 0;
}

/** The contents of `Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }`. */
function extensionsOf(raw: Buffer): Buffer[] {
  const body = children(only(raw, SEQUENCE))[0];
  const list = children(only(body, SEQUENCE)).find((part) => part[0] === EXTENSIONS);
  return list === undefined ? [] : children(only(contentOf(list), SEQUENCE)).map(contentOf);
}

function valueOf(extensions: readonly Buffer[], id: Buffer): Buffer | null {
  const extension = extensions.find((content) => content.subarray(0, id.length).equals(id));
  return extension === undefined ? null : only(children(extension).at(-1), OCTET_STRING);
}

/** The content of the element that `bytes` begin with, which must have this tag. */
function only(bytes: Buffer | undefined, tag: number): Buffer {
  if (bytes?.[0] !== tag) throw new RangeError("not the element of DER that was expected");
  return contentOf(bytes);
}

function children(content: Buffer): Buffer[] {
  const all: Buffer[] = [];
  for (let at = 0; at < content.length; ) {
    const { start, length } = headOf(content, at);
    all.push(content.subarray(at, start + length));
    at = start + length;
  }
  return all;
}

function contentOf(element: Buffer): Buffer {
  const { start, length } = headOf(element, 0);
  return element.subarray(start, start + length);
}

/** Where the content of the element at `at` begins, and how long it is. Tags of more than a byte are not in certificates. */
function headOf(bytes: Buffer, at: number): { readonly start: number; readonly length: number } {
  const first = bytes.readUInt8(at + 1);
  if (first === 0x80) throw new RangeError("an element of DER has no length");
  const size = first < 0x80 ? 0 : first & 0x7f;
  const length = size === 0 ? first : bytes.readUIntBE(at + 2, size);
  const start = at + 2 + size;
  if (length > bytes.length - start) throw new RangeError("an element of DER is cut short");
  return { start, length };
}
