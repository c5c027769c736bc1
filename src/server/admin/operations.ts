import { AccountOperations } from "../../admin/accounts.ts";
import { AuditOperations } from "../../admin/audit.ts";
import { BypassOperations } from "../../admin/bypass.ts";
import { CallTrail } from "../../admin/call-trail.ts";
import { CircuitOperations } from "../../admin/circuits.ts";
import { DecisionFeed } from "../../admin/decision-feed.ts";
import { DecisionSearch } from "../../admin/decision-search.ts";
import { ExecutionOperations } from "../../admin/executions.ts";
import { AdminOperations, type AdminPorts } from "../../admin/operations.ts";
import { OverviewReader, type ProcessFigures } from "../../admin/overview.ts";
import { type ActivePolicies, PolicyOperations } from "../../admin/policies.ts";
import { PageTokens } from "../../admin/page-tokens.ts";
import { ExportOperations } from "../../admin/export.ts";
import { ProofOperations } from "../../admin/proofs.ts";
import { RetentionOperations } from "../../admin/retention.ts";
import { Sessions } from "../../admin/sessions.ts";
import type { OperatorTokens } from "../../admin/tokens.ts";
import { WebhookOperations } from "../../admin/webhooks.ts";
import { Passwords } from "../../authn/password.ts";
import { SignInLimit } from "../../authn/sign-in-limit.ts";
import { TotpSeal } from "../../authn/totp.ts";
import { type Micros, systemClock } from "../../core/clock.ts";
import { Recovery } from "../../admin/recovery.ts";
import { ReviewOperations, type ReviewOperationsPorts } from "../../admin/reviews.ts";
import { Reviews } from "../../authorize/reviews.ts";
import { deriveDigestKeys } from "../../idempotency/key.ts";
import { RandomPool } from "../../core/ids.ts";
import { tryApart } from "../../policy/apart.ts";
import type { Store } from "../../store/open.ts";
import { streamsOfCallers } from "../limits/streams.ts";
import { VerificationOperations, type VerificationOperationsPorts } from "../../admin/verification.ts";
import { noteKeys, noteSigner } from "../../audit/log/keys.ts";
import { AUDIT_KEYS } from "../../keys/key-uses.ts";
import { formatVkey } from "../../audit/log/note.ts";
import { rotateSigningKeys } from "../../keys/key-files.ts";
import type { Trail } from "../lifecycle/trail.ts";
import type { Repositories } from "../repositories.ts";
import type { Admin } from "./service.ts";

/** How many rows of the trail one statement may look at: some ten milliseconds' worth. */
const ROWS_AT_ONCE = { postgres: 20_000, embedded: 2_000 } as const;

/** How many rows a verification reads between two pauses: some milliseconds' worth. */
const PIECE_ROWS = { postgres: 4000, embedded: 500 } as const;

/** What a running service adds. */
export interface ProcessPorts extends Omit<ProcessFigures, "policyVersion" | "warnings" | "inRecovery"> {
  /** The policies in force; null where no service runs. */
  readonly policies: () => ActivePolicies | null;
  /** Called with each failure to follow the trail. */
  readonly onFeedError: (error: unknown) => void;
  /** Called with each review that is no longer open. */
  readonly reviewResolved: ReviewOperationsPorts["resolved"];
  /** Of the time, how much a verification may take from decisions, 0 to 1. */
  readonly verificationShare: number;
  /** Warnings for operators about names that could be taken for another's. */
  readonly nameWarnings: () => readonly string[];
  readonly onVerified: VerificationOperationsPorts["onFinished"];
  readonly onVerificationError: (error: unknown) => void;
}

const NO_SERVICE: ProcessPorts = {
  queueDepth: () => 0,
  latency: () => null,
  policies: () => null,
  onFeedError: () => undefined,
  reviewResolved: () => undefined,
  verificationShare: 1,
  nameWarnings: () => [],
  onVerified: () => undefined,
  onVerificationError: (error) => console.error(`datacrawl: the verification failed: ${String(error)}`),
};

export interface AdminOptions {
  /** Called after an agent has changed, so that this process knows at once. */
  readonly agentChanged?: AdminPorts["agentChanged"];
  readonly tokens?: OperatorTokens | null;
  readonly process?: ProcessPorts;
}

/** What /readyz warns of, too: decisions go on, but somebody has to look. */
function warningsOf(policies: ActivePolicies | null, trail: readonly string[]): string[] {
  const refused = policies?.problem ?? null;
  return [...(refused === null ? [] : [`the newest policies are not in force: ${refused}`]), ...trail];
}

/** The operators' operations on `store`. */
export function openAdmin(
  store: Store,
  repositories: Repositories,
  sealing: Trail,
  now: () => Micros,
  options: AdminOptions = {},
): Admin {
  const { agentChanged = async () => undefined, process = NO_SERVICE } = options;
  const random = new RandomPool();
  const monotonic = (): number => systemClock.monotonic();
  const {
    accounts,
    agents,
    decisions,
    events,
    guards,
    orders,
    overview,
    reviews,
    search: trail,
    sessions,
  } = repositories;
  const tokens = new PageTokens(store.keys.hmac);
  const shared = { random, now };
  const executions = new ExecutionOperations({ store: repositories.executions, tokens, ...shared });
  const resolved = process.reviewResolved;
  const due = new Reviews({ store: reviews, resolved, ...shared });
  const secrets = { passwords: new Passwords(), totpSeal: new TotpSeal(store.keys.hmac) };
  const search = new DecisionSearch({ trail, monotonic, tokens, rowsAtOnce: ROWS_AT_ONCE[store.kind] });
  const verification = new VerificationOperations({
    runs: repositories.runs,
    store: repositories.verification,
    settle: async () => {
      await sealing.keeper.turn();
      return { settled: sealing.keeper.settledAt, problems: sealing.keeper.problems };
    },
    keys: async () => noteKeys(sealing.origin, await sealing.keys()),
    directory: sealing.directory,
    pieceRows: PIECE_ROWS[store.kind],
    share: process.verificationShare,
    reverifyDays: sealing.reverifyDays,
    onFinished: process.onVerified,
    onError: process.onVerificationError,
    monotonic,
    ...shared,
  });
  const overviews = new OverviewReader({
    trail: overview,
    guards: overview,
    orders: overview,
    reviews,
    executions,
    verifications: verification,
    process: {
      ...process,
      policyVersion: () => process.policies()?.current.version ?? "",
      warnings: () => [...warningsOf(process.policies(), sealing.keeper.problems), ...process.nameWarnings()],
      inRecovery: () => sealing.keeper.rollback !== null,
    },
    now,
    monotonic,
  });
  const policies = new PolicyOperations({
    active: process.policies,
    bundles: repositories.bundles,
    tryApart,
    digestKeys: deriveDigestKeys(store.keys.hmac),
  });
  const feed = new DecisionFeed({ trail, now, onError: process.onFeedError });
  const rotateKey = async (): Promise<string> =>
    formatVkey(noteSigner(sealing.origin, await rotateSigningKeys(sealing.keysDir, AUDIT_KEYS)).key);
  const verifierKeys = async (): Promise<string[]> => noteKeys(sealing.origin, await sealing.keys()).map(formatVkey);
  const operations = new AdminOperations({ agents, decisions, agentChanged, ...shared });
  const bypass = new BypassOperations({ orders, agents, grantKeys: () => store.keys.grants, tokens, ...shared });
  const circuits = new CircuitOperations({
    commands: repositories.commands,
    agents,
    guards,
    ...shared,
  });
  const reviewing = new ReviewOperations({
    store: reviews,
    decisions,
    due,
    tokens,
    // Without a service there is no policy in force.
    policyVersion: () => process.policies()?.current.version ?? null,
    resolved,
    ...shared,
  });
  const accounting = new AccountOperations({ accounts, ...secrets, ...shared });
  const recovery = new Recovery({
    keeper: sealing.keeper,
    changes: repositories.accessChanges,
    epochs: sealing.seals,
    sessions,
    orders,
    agents: operations,
    accounts: accounting,
    bypass,
    circuits,
    reviews: reviewing,
    ...shared,
  });
  const repair = (): Promise<void> => recovery.repair();
  return {
    operations,
    search,
    policies,
    watches: { feed, search, overviews, tokens, now },
    streams: streamsOfCallers(),
    bypass,
    circuits,
    reviews: reviewing,
    executions,
    accounts: accounting,
    sessions: new Sessions({ sessions, limit: new SignInLimit(monotonic), ...secrets, ...shared }),
    tokens: options.tokens ?? null,
    pages: tokens,
    trail: new CallTrail({ append: (event) => events.append(event), monotonic, ...shared }),
    now,
    audit: new AuditOperations({ keeper: sealing.keeper, seals: sealing.seals, repair, rotateKey, events, ...shared }),
    recovery,
    verification,
    sealing,
    webhooks: new WebhookOperations({ messages: repositories.outbox, ...shared }),
    proofs: new ProofOperations({ decisions, tree: repositories.exports, verifierKeys }),
    exporting: new ExportOperations({ log: sealing.origin, trail: repositories.exports, verifierKeys }),
    retention: new RetentionOperations({
      decisions,
      payloads: repositories.payloads,
      events,
      ...shared,
    }),
  };
}
