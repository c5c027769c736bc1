import { systemClock } from "../core/clock.ts";
import type { Address } from "../config.ts";
import { UsageError } from "../core/fault.ts";
import { OpenGuard } from "@datacrawl/client/internal/call/open";
import { RandomPool } from "../core/ids.ts";
import { openConnect } from "../server/http/connect.ts";
import { openGrpc } from "../server/grpc/grpc.ts";
import { failureOf } from "../server/failure.ts";
import { Readiness } from "../server/lifecycle/health.ts";
import type { Listener } from "../server/listen.ts";
import { logAnswer, logFault, logLateFault, openLog } from "../server/lifecycle/log.ts";
import type { Observer } from "../server/handlers.ts";
import type { SidecarConfig } from "./config.ts";
import { sidecarMetrics } from "./metrics.ts";
import { sidecarHandlers } from "./handlers.ts";

/** How long requests that are under way may take to finish when the sidecar stops. */
const DRAIN_MS = 10_000;

export interface Sidecar {
  readonly grpc: Address;
  readonly connect: Address;
  readonly agentId: string;
  /** Stops taking requests, finishes those that are under way, uploads what it can, closes everything. */
  stop(): Promise<void>;
}

/**
 * Runs the guard of one agent as a process of its own: `guard → listeners → ready`. Ready says that it answers, which it does also
 * while the service is down.
 *
 * @throws UsageError saying what an operator has to change
 */
export async function runSidecar(config: SidecarConfig): Promise<Sidecar> {
  const log = openLog(config.logLevel);
  const { agentId, timeoutMs, allowedHosts } = config;
  const clock = systemClock;
  const guard = new OpenGuard({
    ...config,
    clock,
    random: new RandomPool(),
    onBug: (error) => log.error({ agentId, ...failureOf(error) }, "the guard failed, so the call was denied"),
  });
  const opened: (() => Promise<unknown>)[] = [() => guard.close()];
  const closeAll = async (): Promise<void> => {
    for (const close of opened.toReversed()) await close();
  };
  try {
    const problem = await guard.opened;
    if (problem !== null) throw new UsageError([`DATACRAWL_SIDECAR_JOURNAL_DIR: ${problem}`]);
    guard.breaker.on(({ from, to, cause, snapshot }) => {
      log.warn(
        { from, to, cause, lastErrors: snapshot.lastErrors, problems: guard.status?.problems },
        "the circuit has changed",
      );
    });
    const metrics = sidecarMetrics(guard);
    const readiness = new Readiness({ journal: () => (guard.status === null ? "is not open" : null) });
    const observer: Observer = {
      onStart() {},
      onEnd() {},
      onFault(fault, method) {
        metrics.refused(fault.code);
        logFault(log, fault, { method, agentId });
      },
      onLateFault: (fault, method) => logLateFault(log, fault, { method, agentId }),
    };
    const handlers = sidecarHandlers({
      guard,
      agentId,
      timeoutMs,
      clock,
      answered(answer, tookMs) {
        metrics.answered(answer, tookMs);
        // Denies by the thousand are in the journal and the metrics; a line for each would be all that the log holds.
        if (answer.reason !== "CIRCUIT_OPEN") logAnswer(log, answer);
      },
    });
    const shared = { handlers, clock, observer, readiness, tls: null, allowedHosts };
    const listeners: Listener[] = [];
    // Both at once: they share one time for draining.
    opened.push(() => Promise.all(listeners.map((listener) => listener.close({ drainMs: DRAIN_MS }))));
    const grpc = await openGrpc({ ...shared, address: config.grpc });
    listeners.push(grpc);
    const connect = await openConnect({ ...shared, address: config.connect, metrics: metrics.registry });
    listeners.push(connect);
    await readiness.start();
    return {
      grpc: grpc.address,
      connect: connect.address,
      agentId,
      stop: async () => {
        readiness.drain();
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}
