import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { AdminService } from "../../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import type { BypassOperations } from "../../admin/bypass.ts";
import { actorOf, type Caller } from "../../admin/caller.ts";
import type { AdminOperations } from "../../admin/operations.ts";
import { Fault } from "../../fault.ts";
import { connectError } from "../status.ts";
import { type AdminMethod, checkAccess } from "./access.ts";
import { agentMethods } from "./agents.ts";
import { bypassMethods } from "./bypass.ts";
import { circuitMethods, type ListCircuits } from "./circuits.ts";
import { decisionMethods } from "./decisions.ts";
import type { AdminCall, AdminMethods } from "./methods.ts";

/** Everything that operators can do. */
export interface Admin {
  readonly operations: AdminOperations;
  readonly bypass: BypassOperations;
  readonly circuits: ListCircuits;
}

/** Finds out who calls. @throws Fault if that cannot be proven */
export type Identify = (context: HandlerContext) => Promise<Caller>;

/** Whoever comes over the socket. */
export const identifySocket: Identify = async () => ({ kind: "socket" });

/** AdminService over the operations: `identify → may they? → do`, for every method alike. */
export function adminService(admin: Admin, identify: Identify): ServiceImpl<typeof AdminService> {
  const methods: AdminMethods = {
    ...agentMethods(admin.operations, admin.bypass),
    ...bypassMethods(admin.bypass),
    ...circuitMethods(admin.circuits),
    ...decisionMethods(admin.operations),
  };
  const guarded = (name: AdminMethod) => async (request: never, context: HandlerContext) => {
    try {
      const caller = await identify(context);
      checkAccess(name, caller);
      const call: AdminCall = { caller, actor: actorOf(caller), context };
      return await methods[name](request, call);
    } catch (error) {
      throw connectError(Fault.from(error));
    }
  };
  const names = Object.keys(methods) as AdminMethod[];
  return Object.fromEntries(names.map((name) => [name, guarded(name)])) as unknown as ServiceImpl<typeof AdminService>;
}
