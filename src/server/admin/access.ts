import type { AdminService } from "../../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { type Caller, hasRole, type Role } from "../../admin/caller.ts";
import { Fault } from "../../fault.ts";

export type AdminMethod = keyof typeof AdminService.method;

interface Access {
  /** The least role that may call it. */
  readonly role: Role;
  /** Whether the socket may, where nobody has authenticated. */
  readonly socket: boolean;
}

const READ: Access = { role: "viewer", socket: true };
const CHANGE: Access = { role: "operator", socket: true };

/** Who may call what. A method without a line here does not compile. */
export const ACCESS: Readonly<Record<AdminMethod, Access>> = {
  createAgent: CHANGE,
  listAgents: READ,
  revokeAgent: CHANGE,
  freezeAgent: CHANGE,
  unfreezeAgent: CHANGE,
  getDecision: READ,
  setCircuitBypass: CHANGE,
  clearCircuitBypass: CHANGE,
  listCircuitBypasses: READ,
  listCircuits: READ,
};

/** @throws Fault NOT_PERMITTED */
export function checkAccess(method: AdminMethod, caller: Caller): void {
  const { role, socket } = ACCESS[method];
  if (caller.kind === "socket") {
    if (socket) return;
    throw new Fault("NOT_PERMITTED", `${method} needs a named operator: over the socket nobody has authenticated.`);
  }
  if (hasRole(caller.role, role)) return;
  throw new Fault("NOT_PERMITTED", `${method} needs the role ${role}; ${caller.name} has ${caller.role}.`);
}
