import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { certificate } from "../../conformance/src/certificates.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { Address, TlsFiles } from "../../src/config.ts";
import type { Fault } from "../../src/core/fault.ts";
import { openConnect } from "../../src/server/http/connect.ts";
import { openGrpc } from "../../src/server/grpc/grpc.ts";
import { Readiness } from "../../src/server/lifecycle/health.ts";
import type { Listener } from "../../src/server/listen.ts";
import { Metrics } from "../../src/server/lifecycle/metrics.ts";
import { loadTls } from "../../src/server/tls.ts";
import { type StandIn, standIn } from "./stand-in.ts";

export const ANY_PORT: Address = { kind: "tcp", host: "127.0.0.1", port: 0, variable: "DATACRAWL_TEST_ADDR" };

/** Both listeners before a stand-in, in clear and with TLS, on ports of their own. */
export interface Open {
  readonly handler: StandIn;
  readonly readiness: Readiness;
  readonly metrics: Metrics;
  readonly faults: Fault[];
  /** Of each of the faults, in their order. */
  readonly faultedMethods: string[];
  /** Those that no caller was answered with. */
  readonly lateFaults: Fault[];
  readonly grpc: Listener;
  readonly connect: Listener;
  readonly grpcTls: Listener;
  readonly connectTls: Listener;
  /** The authority of the TLS listeners' certificate. */
  readonly ca: string;
  close(): Promise<void>;
}

/** A certificate for 127.0.0.1 and its key, in files. */
export function certificateFiles(): TlsFiles & { readonly ca: string; readonly remove: () => void } {
  const dir = mkdtempSync(join(tmpdir(), "datacrawl-tls-"));
  const { certPem, keyPem } = certificate(Date.now(), {
    name: "localhost",
    hosts: ["localhost", "127.0.0.1"],
    usage: "server",
  });
  const files = tlsFiles(join(dir, "cert.pem"), join(dir, "key.pem"));
  writeFileSync(files.certFile, certPem);
  writeFileSync(files.keyFile, keyPem);
  return { ca: certPem, ...files, remove: () => rmSync(dir, { recursive: true }) };
}

export function tlsFiles(certFile: string, keyFile: string): TlsFiles {
  return { certFile, keyFile, certVariable: "DATACRAWL_TLS_CERT_FILE", keyVariable: "DATACRAWL_TLS_KEY_FILE" };
}

export async function openListeners(): Promise<Open> {
  const handler = standIn();
  const readiness = new Readiness({ store: () => null });
  const metrics = new Metrics();
  const faults: Fault[] = [];
  const faultedMethods: string[] = [];
  const lateFaults: Fault[] = [];
  const observer = {
    ...metrics.observer,
    onLateFault: (fault: Fault) => void lateFaults.push(fault),
    onFault: (fault: Fault, method: string) => {
      faults.push(fault);
      faultedMethods.push(method);
      metrics.observer.onFault(fault, method);
    },
  };
  const files = certificateFiles();
  const tls = await loadTls(files);
  files.remove();
  const shared = { handlers: handler.handlers, clock: systemClock, observer, readiness, metrics, address: ANY_PORT };
  const grpc = await openGrpc({ ...shared, tls: null });
  const connect = await openConnect({ ...shared, tls: null });
  const grpcTls = await openGrpc({ ...shared, tls });
  const connectTls = await openConnect({ ...shared, tls });
  await readiness.start();
  const close = async (): Promise<void> => {
    readiness.drain();
    await Promise.all([grpc, connect, grpcTls, connectTls].map((listener) => listener.close({ drainMs: 0 })));
  };
  return {
    handler,
    readiness,
    metrics,
    faults,
    faultedMethods,
    lateFaults,
    grpc,
    connect,
    grpcTls,
    connectTls,
    ca: files.ca,
    close,
  };
}

export function portOf({ address }: Listener): number {
  if (address.kind !== "tcp") throw new Error("no port");
  return address.port;
}
