import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { messageOf, UsageError } from "./fault.ts";

const BEGIN = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/g;
const CERTIFICATE = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[^-]*-----END \1-----/g;

/**
 * What is wrong with a text that is to hold certificates in PEM, one or many, as the end of a sentence that begins with its
 * name; null if nothing. OpenSSL leaves out in silence what it cannot read of a list of authorities.
 */
export function certificatesProblem(pem: string): string | null {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) return 'holds no certificate in PEM, which begins with "-----BEGIN CERTIFICATE-----"';
  if (blocks.length < (pem.match(BEGIN) ?? []).length)
    return "holds a certificate that is truncated or has other text in it";
  const broken = blocks.findIndex((block) => !isCertificate(block));
  return broken === -1 ? null : `holds a certificate that cannot be read, the ${broken + 1}. of ${blocks.length}`;
}

/** The same for a private key. Nothing of the text is repeated. */
export function privateKeyProblem(pem: string): string | null {
  try {
    createPrivateKey(pem);
    return null;
  } catch {
    return "holds no private key in PEM, without a password";
  }
}

/** Whether `key` belongs to the first certificate of `certificates`, both of which are without problems. */
export function belongTogether(certificates: string, key: string): boolean {
  return new X509Certificate(certificates).checkPrivateKey(createPrivateKey(key));
}

/**
 * The certificate authorities in the file that `variable` names.
 *
 * @throws UsageError that names both, if it cannot be read or does not hold certificates in PEM
 */
export function readAuthorities(variable: string, path: string): string {
  const named = `${variable} is ${path}, which`;
  let pem: string;
  try {
    pem = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError([`${named} cannot be read: ${messageOf(error)}`]);
  }
  const problem = certificatesProblem(pem);
  if (problem !== null) throw new UsageError([`${named} ${problem}`]);
  return pem;
}

function isCertificate(block: string): boolean {
  try {
    return new X509Certificate(block).raw.length > 0;
  } catch {
    return false;
  }
}
