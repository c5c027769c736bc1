import { BypassOperations } from "../../admin/bypass.ts";
import { AdminOperations, type AdminPorts } from "../../admin/operations.ts";
import type { Micros } from "../../clock.ts";
import { RandomPool } from "../../ids.ts";
import { SqlAgentStore } from "../../store/agents.ts";
import { SqlCircuitOrders } from "../../store/circuit-orders.ts";
import { SqlDecisionReader } from "../../store/decisions.ts";
import { SqlGuardRecords } from "../../store/guard-records.ts";
import type { Store } from "../../store/open.ts";
import type { Admin } from "./service.ts";

/**
 * The operators' operations on `store`.
 *
 * @param agentChanged called after an agent has changed, so that this process knows at once
 */
export function openAdmin(
  store: Store,
  now: () => Micros,
  agentChanged: AdminPorts["agentChanged"] = async () => undefined,
): Admin {
  const random = new RandomPool();
  const agents = new SqlAgentStore(store.database);
  const decisions = new SqlDecisionReader(store.database);
  const guards = new SqlGuardRecords(store.database);
  const orders = new SqlCircuitOrders(store.database);
  return {
    operations: new AdminOperations({ agents, decisions, agentChanged, random, now }),
    bypass: new BypassOperations({ orders, agents, signingKey: store.keys.grants.signing, random, now }),
    circuits: (agentId) => guards.circuits(agentId),
  };
}
