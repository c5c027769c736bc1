import { X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

/**
 * The certificate that a connection's client presented, if an authority of the listener's verified it; null otherwise. Also when a
 * session was resumed that had none, which Node calls authorized.
 */
export function verifiedCertificate(socket: Duplex): X509Certificate | null {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return null;
  const { raw } = socket.getPeerCertificate() as { raw?: Buffer };
  return raw === undefined ? null : new X509Certificate(raw);
}

/** Whether a client presented a certificate that no authority of the listener's verifies. */
export function isForged(socket: Duplex): boolean {
  if (!(socket instanceof TLSSocket) || socket.authorized) return false;
  return (socket.getPeerCertificate() as { raw?: Buffer }).raw !== undefined;
}
