/**
 * Everything that can keep a request from being decided. A fault is never a decision: on the wire it is a gRPC status, and
 * a caller treats it as a deny. (Errors as a closed set of codes with named arguments and a cause: after sigstore-js.)
 */

/** The gRPC status that a fault becomes. */
export type FaultStatus =
  | "unauthenticated"
  | "permission_denied"
  | "invalid_argument"
  | "not_found"
  | "already_exists"
  | "failed_precondition"
  | "resource_exhausted"
  | "unavailable"
  | "deadline_exceeded"
  | "canceled"
  | "unimplemented"
  | "internal";

/** Stable names for programs, sent as `google.rpc.ErrorInfo.reason`; each belongs to one status. */
export const STATUS_OF = {
  CREDENTIAL_MISSING: "unauthenticated",
  CREDENTIAL_UNKNOWN: "unauthenticated",
  SIGN_IN_FAILED: "unauthenticated",
  SESSION_ENDED: "unauthenticated",
  TOKEN_EXPIRED: "unauthenticated",
  TOKEN_INVALID: "unauthenticated",
  AGENT_MISMATCH: "permission_denied",
  PRINCIPAL_MISMATCH: "permission_denied",
  NOT_PERMITTED: "permission_denied",
  SIGN_IN_NOT_FRESH: "permission_denied",
  CROSS_SITE: "permission_denied",
  HOST_NOT_ALLOWED: "permission_denied",
  REQUEST_MALFORMED: "invalid_argument",
  FIELD_INVALID: "invalid_argument",
  AGENT_UNKNOWN: "not_found",
  AGENT_KEY_UNKNOWN: "not_found",
  DECISION_UNKNOWN: "not_found",
  WEBHOOK_MESSAGE_UNKNOWN: "not_found",
  POLICY_UNKNOWN: "not_found",
  OPERATOR_UNKNOWN: "not_found",
  REVIEW_UNKNOWN: "not_found",
  AGENT_EXISTS: "already_exists",
  OPERATOR_EXISTS: "already_exists",
  AGENT_REVOKED: "failed_precondition",
  AGENT_KEYS_FULL: "failed_precondition",
  SIGN_IN_LIMITED: "resource_exhausted",
  AUDIT_RUN_UNKNOWN: "not_found",
  AUDIT_ROLLED_BACK: "failed_precondition",
  AUDIT_NOT_ROLLED_BACK: "failed_precondition",
  REVIEW_CLOSED: "failed_precondition",
  EXECUTION_UNKNOWN: "not_found",
  OUTCOME_CONTRADICTED: "failed_precondition",
  IN_RECOVERY: "failed_precondition",
  DECISION_NOT_SEALED: "failed_precondition",
  DECISION_RETIRED: "failed_precondition",
  CHECKPOINT_UNKNOWN: "not_found",
  RATE_LIMITED: "resource_exhausted",
  QUEUE_FULL: "resource_exhausted",
  MESSAGE_TOO_LARGE: "resource_exhausted",
  STORE_UNAVAILABLE: "unavailable",
  COMMIT_UNKNOWN: "unavailable",
  ISSUER_UNAVAILABLE: "unavailable",
  SHUTTING_DOWN: "unavailable",
  METHOD_NOT_SERVED: "unimplemented",
  ENCODING_UNSUPPORTED: "unimplemented",
  DEADLINE_EXCEEDED: "deadline_exceeded",
  CANCELED: "canceled",
  INTERNAL: "internal",
} as const satisfies Record<string, FaultStatus>;

export type FaultCode = keyof typeof STATUS_OF;

/** The way to a part of a request: the field's name, then names of members and indices of items. */
export type Path = (string | number)[];

/** Such as `payload.to[2]`. */
export function pathText(path: Readonly<Path>): string {
  let text = "";
  for (const [index, part] of path.entries()) {
    if (typeof part === "number") text += `[${part}]`;
    else text += index === 0 ? part : `.${part}`;
  }
  return text;
}

export interface FaultOptions {
  /** The request's field at fault, as a path such as `payload.to[2]`; the message begins with it. */
  readonly field?: string;
  /** The same, part by part, where it may lead into the payload. */
  readonly path?: Readonly<Path>;
  /** How long to wait before a retry, in milliseconds, where waiting helps. */
  readonly retryAfterMs?: number;
  /** The decision whose row was to be recorded, where it may be there all the same. */
  readonly decisionId?: string;
  /** The underlying error: goes to the log, never on the wire. */
  readonly cause?: unknown;
}

/** A request that could not be decided. `message` is safe to send to the caller. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: FaultCode;
  readonly field: string | undefined;
  readonly path: Readonly<Path> | undefined;
  readonly retryAfterMs: number | undefined;
  readonly decisionId: string | undefined;
  /** A UUID of each INTERNAL fault, for the caller to name and for the log to be searched for. */
  readonly requestId: string | undefined;

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.field = options.field;
    this.path = options.path;
    this.retryAfterMs = options.retryAfterMs;
    this.decisionId = options.decisionId;
    this.requestId = code === "INTERNAL" ? crypto.randomUUID() : undefined;
  }

  get status(): FaultStatus {
    return STATUS_OF[this.code];
  }

  /**
   * `error` as a fault: STORE_UNAVAILABLE for a store's outage, and otherwise INTERNAL. Both have bland messages, and keep
   * their cause for the log.
   */
  static from(error: unknown): Fault {
    if (error instanceof Fault) return error;
    if (error instanceof StoreError && error.isOutage) {
      const message = "The database failed, so the request is not answered.";
      return new Fault("STORE_UNAVAILABLE", message, { cause: error, retryAfterMs: 1000 });
    }
    return new Fault("INTERNAL", "The service failed; the request was not decided.", { cause: error });
  }
}

/** A store failed to do what it was asked. */
export abstract class StoreError extends Error {
  /**
   * Whether it could not: it was out of reach, had no room, or others were in the way. False if it refused what it was asked,
   * which is a mistake of ours.
   */
  abstract readonly isOutage: boolean;
  /** Whether its message may repeat values that the store was given. */
  abstract readonly quotesValues: boolean;
}

/** What went wrong, for a log or in a sentence of ours. */
export function messageOf(error: unknown): string {
  // Refused connections to several addresses come as an AggregateError, whose own message is empty.
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}

/** A mistake in what an operator wrote (configuration, flags, policies): every problem at once, for people to read. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}
