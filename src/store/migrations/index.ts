import { foundation } from "./0001-foundation.ts";
import { guards } from "./0002-guards.ts";
import { operators } from "./0003-operators.ts";
import { reviews } from "./0004-reviews.ts";
import { adminQueries } from "./0005-admin-queries.ts";
import { webhooks } from "./0006-webhooks.ts";
import { seals } from "./0007-seals.ts";
import { retention } from "./0008-retention.ts";
import { agentIdentity } from "./0009-agent-identity.ts";
import { circuitCommands } from "./0015-circuit-commands.ts";
import { policyBundles } from "./0016-policy-bundles.ts";
import { oneRun } from "./0017-one-run.ts";
import { signedAcknowledgements } from "./0018-signed-acknowledgements.ts";
import { freezes } from "./0019-freezes.ts";
import { numberedLayouts } from "./0020-numbered-layouts.ts";
import { reviewWithdrawals } from "./0030-review-withdrawals.ts";
import { executions } from "./0040-executions.ts";
import { principals } from "./0041-principals.ts";
import { bypassStarts } from "./0042-bypass-starts.ts";
import { claimIndexes } from "./0043-claim-indexes.ts";
import { unnotedExecutions } from "./0044-unnoted-executions.ts";

/**
 * By name, in the order in which they run. A migration that has shipped never changes: a later one corrects it.
 *
 * There are no migrations 0010 to 0014 and never were: changes that were made side by side took their numbers in advance, and
 * these were not needed. The others came in another order than that of their numbers (0015 before 0009, 0004 after both), so
 * that a database may lack a migration before its newest one.
 */
export const MIGRATIONS: Readonly<Record<string, string>> = {
  "0001-foundation": foundation,
  "0002-guards": guards,
  "0003-operators": operators,
  "0004-reviews": reviews,
  "0005-admin-queries": adminQueries,
  "0006-webhooks": webhooks,
  "0007-seals": seals,
  "0008-retention": retention,
  "0009-agent-identity": agentIdentity,
  "0015-circuit-commands": circuitCommands,
  "0016-policy-bundles": policyBundles,
  "0017-one-run": oneRun,
  "0018-signed-acknowledgements": signedAcknowledgements,
  "0019-freezes": freezes,
  "0020-numbered-layouts": numberedLayouts,
  "0030-review-withdrawals": reviewWithdrawals,
  "0040-executions": executions,
  "0041-principals": principals,
  "0042-bypass-starts": bypassStarts,
  "0043-claim-indexes": claimIndexes,
  "0044-unnoted-executions": unnotedExecutions,
};
