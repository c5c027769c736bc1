import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { messageOf, UsageError } from "../core/fault.ts";
import { WEBHOOK_SECRET_PREFIX } from "../keys/service-keys.ts";

/** What the Standard Webhooks specification asks for. */
const SECRET_BYTES = { least: 24, most: 64 } as const;

/**
 * The secrets of a file, one or two: a line each, as `whsec_` and base64. Each signs, so that a receiver which knows either of
 * them verifies while it changes from one to the other.
 *
 * @throws UsageError naming the file, and never what is in it
 */
export async function readWebhookSecrets(path: string): Promise<Buffer[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new UsageError([
      `the webhook's secret cannot be read: ${messageOf(error)}; run \`datacrawl keys init\`, or set DATACRAWL_WEBHOOK_SECRET_FILE`,
    ]);
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  const secrets = lines.flatMap((line) => secretOf(line.trim()) ?? []);
  if (lines.length >= 1 && lines.length <= 2 && secrets.length === lines.length) return secrets;
  throw new UsageError([
    `DATACRAWL_WEBHOOK_SECRET_FILE is ${path}, which must have one or two lines, each ${WEBHOOK_SECRET_PREFIX} and the base64 of ${SECRET_BYTES.least} to ${SECRET_BYTES.most} bytes`,
  ]);
}

function secretOf(line: string): Buffer | null {
  if (!line.startsWith(WEBHOOK_SECRET_PREFIX)) return null;
  const base64 = line.slice(WEBHOOK_SECRET_PREFIX.length);
  const secret = Buffer.from(base64, "base64");
  const exact = secret.toString("base64") === base64;
  return exact && secret.length >= SECRET_BYTES.least && secret.length <= SECRET_BYTES.most ? secret : null;
}

/** The headers by which a receiver knows a message for ours, as the Standard Webhooks specification has them. */
export function signedHeaders(
  secrets: readonly Uint8Array[],
  id: string,
  timestampSeconds: number,
  body: string,
): Readonly<Record<string, string>> {
  const signatures = secrets.map((secret) => {
    const mac = createHmac("sha256", secret).update(`${id}.${timestampSeconds}.${body}`);
    return `v1,${mac.digest("base64")}`;
  });
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestampSeconds),
    "webhook-signature": signatures.join(" "),
  };
}
