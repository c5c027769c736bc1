import type { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { type Caller, hasRole } from "../../admin/caller.ts";
import type { Micros } from "../../core/clock.ts";
import { Fault } from "../../core/fault.ts";
import { actingProblem, isAlike } from "../../core/names.ts";
import type { Role } from "../../authn/role.ts";

export type AdminMethod = keyof typeof AdminService.method;

interface Access {
  /** The least role that may call it; null if no operator may. */
  readonly role: Role | null;
  /** Whether the socket may, where nobody has authenticated. */
  readonly socket: boolean;
  /** Whether a human must have proven who they are within {@link FRESH}. */
  readonly fresh?: true;
}

const READ: Access = { role: "viewer", socket: true };
const CHANGE: Access = { role: "operator", socket: true };
/** Accounts are the host's: a stolen session must not make itself another one, nor one person two. */
const ACCOUNTS: Access = { role: null, socket: true };
/** Needs the name of a person, which the socket does not give. */
const ANSWER: Access = { role: "reviewer", socket: false };

/**
 * What a person must have meant at this moment, so that a stolen session or an unattended screen cannot do it: to let an agent act without
 * the service, and to say for good how an action ended.
 */
const FRESH_OPERATOR: Access = { role: "operator", socket: false, fresh: true };

/** Who may call what. A method without a line here does not compile. */
export const ACCESS: Readonly<Record<AdminMethod, Access>> = {
  createAgent: CHANGE,
  listAgents: READ,
  createAgentKey: CHANGE,
  revokeAgentKey: CHANGE,
  revokeAgent: CHANGE,
  freezeAgent: CHANGE,
  unfreezeAgent: CHANGE,
  getDecision: READ,
  listDecisions: READ,
  getOverview: READ,
  getPolicies: READ,
  listPolicyVersions: READ,
  testPolicy: READ,
  watchAdmin: READ,
  setCircuitBypass: FRESH_OPERATOR,
  clearCircuitBypass: CHANGE,
  listCircuitBypasses: READ,
  listCircuits: READ,
  getCircuit: READ,
  forceOpenCircuit: CHANGE,
  resetCircuit: CHANGE,
  createOperator: ACCOUNTS,
  listOperators: READ,
  removeOperator: ACCOUNTS,
  setOperatorRole: ACCOUNTS,
  setOperatorPassword: ACCOUNTS,
  enableOperatorTotp: ACCOUNTS,
  disableOperatorTotp: ACCOUNTS,
  getAuditStatus: READ,
  getRecovery: READ,
  sealAudit: CHANGE,
  listAuditKeys: READ,
  rotateAuditKey: CHANGE,
  acknowledgeAuditRollback: CHANGE,
  listWebhookMessages: READ,
  retryWebhookMessage: CHANGE,
  listReviews: READ,
  getReview: READ,
  approveReview: ANSWER,
  rejectReview: ANSWER,
  withdrawApproval: ANSWER,
  listExecutions: READ,
  resolveExecution: FRESH_OPERATOR,
  startAuditVerification: CHANGE,
  getAuditRun: READ,
  listAuditRuns: READ,
  proveDecision: READ,
  proveConsistency: READ,
  exportAudit: READ,
  recordExport: CHANGE,
  erasePayload: CHANGE,
};

/** How long a sign-in is good for what needs a fresh one. */
const FRESH: Micros = 5 * 60 * 1_000_000;
/** How far ahead an issuer's clock may be. */
const CLOCK_SKEW: Micros = 60 * 1_000_000;

/**
 * @param inRecovery whether the database was rolled back: then it may have forgotten who an operator is no more
 * @throws Fault NOT_PERMITTED, SIGN_IN_NOT_FRESH, IN_RECOVERY
 */
export function checkAccess(method: AdminMethod, caller: Caller, now: Micros, inRecovery: boolean): void {
  const { role, socket, fresh } = ACCESS[method];
  if (caller.kind === "socket") {
    if (socket) return;
    throw new Fault(
      "NOT_PERMITTED",
      `${method} needs a named operator, and the socket identifies nobody: sign in (on the command line: --as NAME).`,
    );
  }
  if (role === null) {
    throw new Fault("NOT_PERMITTED", `${method} is allowed only on the service's host, over its socket.`);
  }
  const problem = role === "viewer" ? null : actingProblem(caller.name);
  if (problem !== null) {
    throw new Fault(
      "NOT_PERMITTED",
      `${method} needs an operator whose name cannot be mistaken for another; ${caller.name} ${problem}.`,
    );
  }
  if (!hasRole(caller.role, role)) {
    throw new Fault("NOT_PERMITTED", `${method} needs the role ${role}; ${caller.name} has ${caller.role}.`);
  }
  if (inRecovery && role !== "viewer") {
    throw new Fault(
      "IN_RECOVERY",
      "The service is in recovery after its database was rolled back: changes are made on its host, over the socket.",
    );
  }
  if (fresh && !isFresh(caller, now)) {
    throw new Fault("SIGN_IN_NOT_FRESH", `${method} needs a human who has signed in within the last 5 minutes.`);
  }
}

function isFresh({ signedInAt, methods }: Extract<Caller, { kind: "operator" }>, now: Micros): boolean {
  return signedInAt !== null && methods.length > 0 && signedInAt > now - FRESH && signedInAt < now + CLOCK_SKEW;
}

/**
 * What an agent could do to itself if its issuer gave it an operator's token, or somebody an account of its name. Answers to reviews
 * name no agent; they are held to the same in `review/review.ts`.
 *
 * @param agentId the agent that the request is about, or null
 * @throws Fault NOT_PERMITTED
 */
export function checkNotOneself(method: AdminMethod, caller: Caller, agentId: string | null): void {
  if (caller.kind !== "operator" || agentId === null || ACCESS[method].role === "viewer") return;
  if (!isAlike(caller.name, agentId)) return;
  throw new Fault(
    "NOT_PERMITTED",
    `${caller.name} has the name of the agent ${agentId}; ${method} is for another operator.`,
  );
}
