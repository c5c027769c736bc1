import type { Address, Config } from "../../config.ts";
import { systemClock } from "../../core/clock.ts";
import { UsageError } from "../../core/fault.ts";
import { PolicyReader } from "../../policy/reader.ts";
import { openPolicySourceOf } from "../../policy/source.ts";
import { makeDataDir, openStore } from "../../store/open.ts";
import type { Ingress } from "../admin/ingress.ts";
import { openAdminPort, openAdminSocket } from "../admin/listener.ts";
import { adminRpcs, turnedAway } from "../admin/service.ts";
import { openConnect } from "../http/connect.ts";
import { ensureDemoAgent } from "./demo.ts";
import { openGrpc } from "../grpc/grpc.ts";
import { Readiness } from "./health.ts";
import type { Listener } from "../listen.ts";
import { logFault, logLateFault, openLog } from "./log.ts";
import { Metrics } from "./metrics.ts";
import type { Observer } from "../handlers.ts";
import { openService } from "./service.ts";
import { openSite } from "../http/site.ts";
import { loadTls } from "../tls.ts";

/** How long requests that are under way may take to finish when the service stops. */
const DRAIN_MS = 10_000;

/** A running service. */
export interface Running {
  readonly grpc: Address;
  readonly connect: Address;
  readonly admin: Address;
  readonly adminSocket: string;
  readonly store: "embedded" | "postgres";
  readonly policyVersion: string;
  /** What this set-up promises less than the full one, for people to read. */
  readonly warnings: readonly string[];
  /** The file that holds the demo agent's credential; null where there is none. */
  readonly demoKeyFile: string | null;
  /** Reloads the policies, the grant keys and the certificates. */
  reload(): Promise<void>;
  /** Stops taking requests, finishes those that are under way, closes everything. */
  stop(): Promise<void>;
}

/**
 * Starts the decision service: `store and policies → service → listeners → ready`. What was opened is closed again if a later step
 * fails, so that nothing runs half. The store and the policies are opened at the same time, since each waits for another process.
 *
 * @param reader of the directory where an operator's policies would be, if one has looked for them already
 * @throws UsageError saying what an operator has to change
 */
export async function serve(config: Config, reader: PolicyReader | null = null): Promise<Running> {
  const log = openLog(config.logLevel);
  const opened: (() => Promise<unknown>)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of opened.reverse()) await close();
  };
  const clientCa = config.agentCertificates?.caFile ?? null;
  try {
    const tls = {
      grpc: config.grpc.tls === null ? null : await loadTls(config.grpc.tls, clientCa),
      connect: config.connect.tls === null ? null : await loadTls(config.connect.tls, clientCa),
      admin: config.admin.tls === null ? null : await loadTls(config.admin.tls),
    };
    makeDataDir(config.dataDir);
    const opening = [
      openStore(config, (error) => log.error({ cause: error.message }, "the store failed")),
      openPolicySourceOf(readerOf(config.policyDir, reader)),
    ] as const;
    const ends = await Promise.allSettled(opening);
    for (const end of ends) if (end.status === "fulfilled") opened.push(() => end.value.close());
    requireAll(ends);
    const [store, source] = await Promise.all(opening);
    const metrics = new Metrics();
    const service = await openService(config, store, source, log, metrics);
    opened.push(() => service.close());
    const demoKeyFile =
      store.kind === "embedded" ? await ensureDemoAgent(service.admin.operations, config.dataDir) : null;

    const readiness = new Readiness(service.checks);
    const observer: Observer = {
      ...metrics.observer,
      onFault(fault, method) {
        metrics.observer.onFault(fault, method);
        logFault(log, fault, { method });
      },
      onLateFault: (fault, method) => logLateFault(log, fault, { method }),
    };
    const { allowedHosts } = config;
    const shared = { handlers: service.handlers, clock: systemClock, observer, allowedHosts };
    const listeners: Listener[] = [];
    const closing = (listener: Listener): Listener => {
      listeners.push(listener);
      return listener;
    };
    // All at once: they share one time for draining.
    opened.push(() => Promise.all(listeners.map((listener) => listener.close({ drainMs: DRAIN_MS }))));
    const grpc = closing(await openGrpc({ ...shared, address: config.grpc.address, tls: tls.grpc, readiness }));
    const connect = closing(
      await openConnect({ ...shared, address: config.connect.address, tls: tls.connect, readiness, metrics }),
    );
    const portsOf = (ingress: Ingress) => ({
      clock: systemClock,
      observer,
      turnedAway: turnedAway(service.admin.trail, ingress),
    });
    const network: Ingress = { kind: "network", tls: tls.admin !== null };
    const socket: Ingress = { kind: "socket" };
    const rpcs = adminRpcs(service.admin, network);
    const admin = closing(
      await openAdminPort(
        {
          address: config.admin.address,
          tls: tls.admin,
          rpcs,
          pages: await openSite(),
          allowedHosts: [...allowedHosts, ...hostOf(config.adminPublicUrl)],
        },
        portsOf(network),
      ),
    );
    closing(await openAdminSocket(config.adminSocket, adminRpcs(service.admin, socket), portsOf(socket)));
    await readiness.start();

    return {
      grpc: grpc.address,
      connect: connect.address,
      admin: admin.address,
      adminSocket: config.adminSocket,
      store: store.kind,
      policyVersion: service.policyVersion,
      warnings: store.warnings,
      demoKeyFile,
      reload: async () => {
        await service.reloadPolicies();
        await service.reloadGrantKeys();
        if (config.grpc.tls !== null) grpc.setTls(await loadTls(config.grpc.tls, clientCa));
        if (config.connect.tls !== null) connect.setTls(await loadTls(config.connect.tls, clientCa));
        if (config.admin.tls !== null) admin.setTls(await loadTls(config.admin.tls));
      },
      stop: async () => {
        readiness.drain();
        service.drain();
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Not `given` where the policies are the samples of the package. */
function readerOf(policyDir: string, given: PolicyReader | null): PolicyReader {
  if (given?.dir === policyDir) return given;
  given?.close();
  return new PolicyReader(policyDir, { follow: true });
}

/** @throws UsageError with the problems of all that failed; what is no UsageError is a bug, and is thrown as it is */
function requireAll(ends: readonly PromiseSettledResult<unknown>[]): void {
  const errors = ends.filter((end) => end.status === "rejected").map((end): unknown => end.reason);
  for (const error of errors) if (!(error instanceof UsageError)) throw error;
  if (errors.length > 0) throw new UsageError((errors as UsageError[]).flatMap(({ problems }) => problems));
}

/** Operators come to the dashboard by its public name, whatever stands in front of the port. */
function hostOf(publicUrl: string | null): string[] {
  return publicUrl === null ? [] : [new URL(publicUrl).hostname.replace(/^\[(.*)\]$/, "$1")];
}
