import { constants } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type TlsOptions } from "node:tls";
import type { TlsFiles } from "../config.ts";
import { messageOf, UsageError } from "../core/fault.ts";
import { belongTogether, certificatesProblem, privateKeyProblem, readAuthorities } from "../core/pem.ts";

/** What a listener's TLS is made of. */
export type ListenerTls = Pick<
  TlsOptions,
  "cert" | "key" | "ca" | "requestCert" | "rejectUnauthorized" | "secureOptions"
>;

/**
 * The certificate chain and key of a listener, read and found to belong together.
 *
 * @param clientCaFile the authorities of clients' certificates, which are asked for but not demanded; null if none are asked for
 * @throws UsageError with every problem
 */
export async function loadTls(files: TlsFiles, clientCaFile: string | null = null): Promise<ListenerTls> {
  const problems: string[] = [];
  const certNamed = `${files.certVariable} is ${files.certFile}`;
  const keyNamed = `${files.keyVariable} is ${files.keyFile}`;
  const [cert, key] = await Promise.all([
    readPem(files.certFile, certNamed, certificatesProblem, problems),
    readPem(files.keyFile, keyNamed, privateKeyProblem, problems),
  ]);
  const clients = clientCaFile === null ? {} : clientAuthorities(clientCaFile, problems);
  if (cert === null || key === null || clients === null) throw new UsageError(problems);
  if (!belongTogether(cert, key)) {
    throw new UsageError([
      `${certNamed} and ${keyNamed}, which are not a certificate and its key: name two files that match`,
    ]);
  }
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new UsageError([`${certNamed} and ${keyNamed}, which cannot be used: ${messageOf(error)}`]);
  }
  return { cert, key, ...clients };
}

/** Null, and a problem, if there is no such text. */
async function readPem(
  file: string,
  named: string,
  problemOf: (pem: string) => string | null,
  problems: string[],
): Promise<string | null> {
  try {
    const pem = await readFile(file, "utf8");
    const problem = problemOf(pem);
    if (problem === null) return pem;
    problems.push(`${named}, which ${problem}`);
  } catch (error) {
    problems.push(`${named}, which cannot be read: ${messageOf(error)}`);
  }
  return null;
}

/** A client without a certificate may connect and present a key; one whose certificate does not verify is disconnected. */
function clientAuthorities(file: string, problems: string[]): ListenerTls | null {
  try {
    const ca = readAuthorities("DATACRAWL_AGENT_CA_FILE", file);
    // A resumed session would bring back what was verified when it began, by authorities that are trusted no more.
    return { ca, requestCert: true, rejectUnauthorized: false, secureOptions: constants.SSL_OP_NO_TICKET };
  } catch (error) {
    problems.push(messageOf(error));
    return null;
  }
}
