import { SqlAccessChanges } from "../store/access-changes.ts";
import { SqlAgentStore } from "../store/agents.ts";
import { SqlBypassOrders } from "../store/bypass-orders.ts";
import { SqlCircuitCommands } from "../store/circuit-commands.ts";
import { SqlDecisionSearch } from "../store/decision-search.ts";
import { SqlDecisionReader } from "../store/decisions.ts";
import { SqlEventStore } from "../store/events.ts";
import { SqlExecutionStore } from "../store/executions.ts";
import { SqlExportReader } from "../store/export.ts";
import { SqlGuardExecutions } from "../store/guard-executions.ts";
import { SqlGuardRecords } from "../store/guard-records.ts";
import type { Store } from "../store/open.ts";
import { SqlOperatorStore } from "../store/operators.ts";
import { SqlOverview } from "../store/overview.ts";
import { SqlPayloadStore } from "../store/payloads.ts";
import { SqlPolicyBundles } from "../store/policy-bundles.ts";
import { SqlRecordStore } from "../store/records.ts";
import { SqlReviewStore } from "../store/reviews.ts";
import { SqlSealStore } from "../store/seals.ts";
import { SqlSessionStore } from "../store/sessions.ts";
import { SqlVerificationRuns } from "../store/verification-runs.ts";
import { SqlVerifyStore } from "../store/verification.ts";
import { SqlOutbox } from "../store/webhooks.ts";

export type Repositories = ReturnType<typeof openRepositories>;

/** Each repository of a store, once: the service and the operators' part of it share them. */
export function openRepositories({ database, reads }: Store) {
  const db = database.kysely;
  return {
    accessChanges: new SqlAccessChanges(db),
    accounts: new SqlOperatorStore(db),
    agents: new SqlAgentStore(db),
    bundles: new SqlPolicyBundles(db),
    commands: new SqlCircuitCommands(db),
    decisions: new SqlDecisionReader(db),
    events: new SqlEventStore(db),
    executions: new SqlExecutionStore(db),
    exports: new SqlExportReader(reads),
    guardExecutions: new SqlGuardExecutions(db),
    guards: new SqlGuardRecords(db),
    orders: new SqlBypassOrders(db),
    outbox: new SqlOutbox(db),
    overview: new SqlOverview(reads.kysely),
    payloads: new SqlPayloadStore(db),
    records: new SqlRecordStore(db),
    reviews: new SqlReviewStore(db),
    runs: new SqlVerificationRuns(db),
    seals: new SqlSealStore(db),
    search: new SqlDecisionSearch(reads.kysely),
    sessions: new SqlSessionStore(db),
    verification: new SqlVerifyStore(database),
  };
}
