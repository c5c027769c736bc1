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

export interface Migration {
  readonly id: number;
  readonly name: string;
  readonly sql: string;
}

/** In the order in which they run. A migration that has shipped never changes: a later one corrects it. */
export const MIGRATIONS: readonly Migration[] = [
  { id: 1, name: "foundation", sql: foundation },
  { id: 2, name: "guards", sql: guards },
  { id: 3, name: "operators", sql: operators },
  { id: 4, name: "reviews", sql: reviews },
  { id: 5, name: "admin-queries", sql: adminQueries },
  { id: 6, name: "webhooks", sql: webhooks },
  { id: 7, name: "seals", sql: seals },
  { id: 8, name: "retention", sql: retention },
  { id: 9, name: "agent-identity", sql: agentIdentity },
  { id: 15, name: "circuit-commands", sql: circuitCommands },
  { id: 16, name: "policy-bundles", sql: policyBundles },
  { id: 17, name: "one-run", sql: oneRun },
  { id: 18, name: "signed-acknowledgements", sql: signedAcknowledgements },
  { id: 19, name: "freezes", sql: freezes },
];
