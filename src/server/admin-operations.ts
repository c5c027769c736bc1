import { AdminOperations, type AdminPorts } from "../admin/operations.ts";
import { systemClock } from "../clock.ts";
import { RandomPool } from "../ids.ts";
import { SqlAgentStore } from "../store/agents.ts";
import { SqlDecisionReader } from "../store/decisions.ts";
import type { Store } from "../store/open.ts";

/** The operators' operations on `store`; `live` is what the running service adds to them. */
export function openAdminOperations(store: Store, live: Partial<AdminPorts> = {}): AdminOperations {
  return new AdminOperations({
    agents: new SqlAgentStore(store.database),
    decisions: new SqlDecisionReader(store.database),
    agentChanged: () => Promise.resolve(),
    random: new RandomPool(),
    now: () => systemClock.now(),
    ...live,
  });
}
