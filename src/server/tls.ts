import { constants, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type TlsOptions } from "node:tls";
import type { TlsFiles } from "../config.ts";
import { messageOf, UsageError } from "../core/fault.ts";

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
  const [cert, key, clients] = await Promise.allSettled([
    readFile(files.certFile),
    readFile(files.keyFile),
    clientCaFile === null ? {} : clientAuthorities(clientCaFile),
  ]);
  const problems = [unreadable(files.certFile, cert), unreadable(files.keyFile, key)].flat();
  if (clients.status === "rejected") problems.push(messageOf(clients.reason));
  if (cert.status === "rejected" || key.status === "rejected" || clients.status === "rejected")
    throw new UsageError(problems);
  const options = { cert: cert.value, key: key.value };
  try {
    createSecureContext(options);
  } catch (error) {
    throw new UsageError([
      `${files.certFile} and ${files.keyFile} are no certificate and its key: ${messageOf(error)}`,
    ]);
  }
  return { ...options, ...clients.value };
}

/** Without a certificate a client comes in, to show a key; who presents one that does not verify is sent away at the door. */
async function clientAuthorities(file: string): Promise<ListenerTls> {
  const ca = await readFile(file).catch((error: unknown) => {
    throw new UsageError([`${file} cannot be read: ${messageOf(error)}`]);
  });
  try {
    void new X509Certificate(ca);
  } catch (error) {
    throw new UsageError([`${file} holds no certificate authority: ${messageOf(error)}`]);
  }
  // A resumed session would bring back what was verified when it began, by authorities that are trusted no more.
  return { ca, requestCert: true, rejectUnauthorized: false, secureOptions: constants.SSL_OP_NO_TICKET };
}

function unreadable(file: string, read: PromiseSettledResult<Buffer>): string[] {
  return read.status === "rejected" ? [`${file} cannot be read: ${messageOf(read.reason)}`] : [];
}
