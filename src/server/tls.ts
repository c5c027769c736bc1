import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { TlsFiles } from "../config.ts";
import { messageOf, UsageError } from "../fault.ts";

/**
 * The certificate chain and key of a listener, read and found to belong together.
 *
 * @throws UsageError with every problem
 */
export async function loadTls(files: TlsFiles): Promise<SecureContextOptions> {
  const [cert, key] = await Promise.allSettled([readFile(files.certFile), readFile(files.keyFile)]);
  const problems = [unreadable(files.certFile, cert), unreadable(files.keyFile, key)].flat();
  if (cert.status === "rejected" || key.status === "rejected") throw new UsageError(problems);
  const options = { cert: cert.value, key: key.value };
  try {
    createSecureContext(options);
  } catch (error) {
    throw new UsageError([
      `${files.certFile} and ${files.keyFile} are no certificate and its key: ${messageOf(error)}`,
    ]);
  }
  return options;
}

function unreadable(file: string, read: PromiseSettledResult<Buffer>): string[] {
  return read.status === "rejected" ? [`${file} cannot be read: ${messageOf(read.reason)}`] : [];
}
