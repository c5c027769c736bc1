import type { AuthorizeHandler, WatchHandler } from "../authorize/call.ts";
import type { CallableToolsHandler } from "../authorize/callable-tools.ts";
import type { BeginHandler, ReportHandler } from "../authorize/execution-call.ts";
import type { SyncGuardHandler } from "../authorize/sync-guard.ts";
import type { Clock } from "../core/clock.ts";
import type { Source } from "../core/decision.ts";
import type { Fault } from "../core/fault.ts";

/** The implementation of AuthorizeService, for every transport. All handlers reject only with a Fault. */
export interface AgentHandlers {
  readonly authorize: AuthorizeHandler;
  readonly watchDecision: WatchHandler;
  readonly beginExecution: BeginHandler;
  readonly reportOutcome: ReportHandler;
  readonly syncGuard: SyncGuardHandler;
  readonly listCallableTools: CallableToolsHandler;
  /** Who decides: the service, or a sidecar's guard. */
  readonly source: Source;
}

/** What transports report of each call. None may throw. */
export interface Observer {
  /** A request has arrived, and goes to its handler. */
  readonly onStart: () => void;
  /** The handler has finished. Once for each `onStart`. */
  readonly onEnd: () => void;
  /**
   * A request is answered with a fault, also one that did not reach its handler. Faults of code INTERNAL are bugs: log their cause.
   * `method` is the RPC's name, such as `SyncGuard`.
   */
  readonly onFault: (fault: Fault, method: string) => void;
  /** A handler failed after its caller was answered or had disconnected, so that only the log can have the fault. */
  readonly onLateFault: (fault: Fault, method: string) => void;
}

/** What a listener needs besides its address. */
export interface ListenerPorts {
  readonly handlers: AgentHandlers;
  readonly clock: Clock;
  readonly observer: Observer;
}
