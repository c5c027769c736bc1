import type { SyncGuardRequest, SyncGuardResponse } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { Credentials } from "../authn/agents.ts";
import type { AuthorizeHandler, Call, WatchHandler } from "../authorize/call.ts";
import type { BeginHandler, ReportHandler } from "../authorize/execution-call.ts";
import type { Clock } from "../core/clock.ts";
import type { Source } from "../core/decision.ts";
import type { Fault } from "../core/fault.ts";

/** What stands behind AuthorizeService, whichever way a call comes. All reject with a Fault alone. */
export interface Roads {
  readonly authorize: AuthorizeHandler;
  readonly watchDecision: WatchHandler;
  readonly beginExecution: BeginHandler;
  readonly reportOutcome: ReportHandler;
  readonly syncGuard: (call: Call<SyncGuardRequest>) => Promise<SyncGuardResponse>;
  /** Who decides: the service, or a sidecar's guard. */
  readonly source: Source;
}

/** What roads tell of each call. None may throw. */
export interface Observer {
  /** A request has arrived, and goes to its handler. */
  readonly onStart: () => void;
  /** The handler is done with it. Once for each `onStart`. */
  readonly onEnd: () => void;
  /**
   * It is answered with a fault; also where it never arrived. Faults of code INTERNAL are ours: log their cause.
   * `method` is the RPC's name, such as `SyncGuard`.
   */
  readonly onFault: (fault: Fault, method: string) => void;
  /** A handler failed after its caller was answered, or was gone: nobody else hears of the fault. */
  readonly onLateFault: (fault: Fault, method: string) => void;
}

/** What a listener needs besides its address. */
export interface ListenerPorts {
  readonly roads: Roads;
  readonly clock: Clock;
  readonly observer: Observer;
}

/** What is told of a call's caller where nothing else of the call is. */
export function credentialsOf(call: Credentials): Credentials {
  return { authorization: call.authorization, certificate: () => call.certificate?.() ?? null };
}
