import { makeEvent } from "../../audit/row/event.ts";
import { GroupWriter } from "../../audit/write/group-writer.ts";
import { RecordWriter } from "../../audit/write/writer.ts";
import { Agents } from "../../authn/agents.ts";
import { AgentDirectory } from "../../authn/directory.ts";
import { fetchJson } from "../../authn/fetch-json.ts";
import { Jwks } from "../../authn/jwks.ts";
import { JwtVerifier } from "../../authn/jwt.ts";
import { Refusals } from "../../authn/refusals.ts";
import { Admission } from "../../authorize/admission.ts";
import { createAuthorize } from "../../authorize/authorize.ts";
import { createBegin } from "../../authorize/begin.ts";
import { endKind, startKind } from "../../authorize/execution-entries.ts";
import { createReport } from "../../authorize/report.ts";
import { SESSION_LIFETIME } from "../../admin/sessions.ts";
import { OperatorTokens } from "../../admin/tokens.ts";
import { Reviews } from "../../authorize/reviews.ts";
import type { RefusedCall } from "../../authorize/frame.ts";
import { createWatch } from "../../authorize/watch.ts";
import { Watchers } from "../../authorize/watchers.ts";
import { createSyncGuard } from "../../authorize/sync-guard.ts";
import { systemClock } from "../../core/clock.ts";
import type { Config, IssuerConfig, OidcConfig } from "../../config.ts";
import type { Answer } from "../../authorize/call.ts";
import type { Fault } from "../../core/fault.ts";
import { deriveDigestKeys, type DigestKeys } from "../../idempotency/key.ts";
import type { ClaimCache } from "../../idempotency/ledger.ts";
import { MemoryClaimCache } from "../../idempotency/memory-cache.ts";
import { RedisClaimCache } from "../../idempotency/redis-cache.ts";
import { RandomPool } from "../../core/ids.ts";
import { type PolicySource } from "../../policy/source.ts";
import { SqlAgentStore } from "../../store/agents.ts";
import { SqlCircuitCommands } from "../../store/circuit-commands.ts";
import { StoreClock } from "../../store/clock.ts";
import { SqlEventStore } from "../../store/events.ts";
import { SqlExecutionStore } from "../../store/executions.ts";
import { SqlGuardRecords } from "../../store/guard-records.ts";
import { reloadGrantKeys } from "../../store/keys.ts";
import type { Store } from "../../store/open.ts";
import { SqlRecordStore } from "../../store/records.ts";
import { SqlReviewStore } from "../../store/reviews.ts";
import { SqlPolicyBundles } from "../../store/policy-bundles.ts";
import { openRedis } from "../../store/redis.ts";
import { SqlSessionStore } from "../../store/sessions.ts";
import { openAdmin } from "../admin/operations.ts";
import type { Admin } from "../admin/service.ts";
import { Chores } from "./chores.ts";
import { failureOf } from "../failure.ts";
import type { Check } from "./health.ts";
import { type Log, logAnswer, logFault } from "./log.ts";
import { LatencyWindow, timed } from "./latency.ts";
import type { Metrics } from "./metrics.ts";
import type { Roads } from "../roads.ts";
import { admitSyncs, syncGuardRoad } from "../sync-guard.ts";
import { traced } from "./tracing.ts";
import { openTrail } from "./trail.ts";
import { UnfitNames } from "./unfit-names.ts";
import { openWebhooks } from "./webhooks.ts";
import { scheduleVerification, VerificationMetrics } from "./verification.ts";

/** How long a row may be without a seal, at most and about: docs/audit.md says what that means. */
const SEAL_EVERY_MS = 10_000;
/** Of the time, how much a verification may take from decisions. */
const VERIFICATION_SHARE = 0.05;

/** The decision service without its listeners. */
export interface Service {
  readonly roads: Roads;
  readonly admin: Admin;
  readonly checks: Readonly<Record<string, Check>>;
  /** Of the active policy bundle. */
  readonly policyVersion: string;
  reloadPolicies(): Promise<void>;
  /** Takes up new grant keys from the keys directory, and signs the live orders of older ones again. */
  reloadGrantKeys(): Promise<void>;
  /** Refuses new requests from now on; those that are under way finish. */
  drain(): void;
  /** After the listeners are closed: writes down what is pending and stops. The store stays open. */
  close(): Promise<void>;
}

/** @throws UsageError if the policies are broken */
export async function openService(
  config: Config,
  store: Store,
  policies: PolicySource,
  log: Log,
  metrics: Metrics,
): Promise<Service> {
  const { database, keys } = store;
  const random = new RandomPool();
  const monotonic = (): number => systemClock.monotonic();
  const clock = new StoreClock(systemClock);
  const now = (): number => clock.now();

  policies.onChange = (event) => {
    if (event.kind === "unread") {
      log.error({ problem: event.problem }, "policies could not be read; the last good ones stay active");
    } else if (event.kind === "activated") {
      log.info({ policyVersion: event.version }, "policies activated");
      logWarnings();
      keepPolicies().catch((error: unknown) => log.warn(failureOf(error), "the policies' text was not kept yet"));
    } else log.error({ problems: event.problems }, "policies refused; the last good ones stay active");
  };
  const logWarnings = (): void => {
    if (policies.warnings.length > 0) log.warn({ warnings: policies.warnings }, "policies have warnings");
  };
  logWarnings();
  const bundles = new SqlPolicyBundles(database.kysely);
  // Again and again: while the database is down nothing is decided that these policies would have to explain.
  const keepPolicies = (): Promise<void> => bundles.keep(policies.current.version, policies.current.files);
  await keepPolicies();
  const directory = new AgentDirectory({
    store: new SqlAgentStore(database.kysely),
    monotonic,
    // The embedded database reads this machine's own clock.
    onRefresh: (changes, roundTripMs) => {
      if (store.kind === "postgres") clock.observe(changes.now, roundTripMs);
    },
    onError: (error) => {
      metrics.storeError();
      log.warn(failureOf(error), "the agents' states could not be read");
    },
  });
  await directory.start();

  const digestKeys = deriveDigestKeys(keys.hmac);
  const cache = openCache(config, digestKeys, now, monotonic, log);
  const records = new SqlRecordStore(database.kysely);
  const writer = new RecordWriter(records, monotonic, metrics);
  metrics.watchQueue(() => writer.depth);
  const rate = { ratePerAgent: config.agentRate, burstPerAgent: config.agentBurst };
  const admission = new Admission(rate, monotonic);
  const refusals = new Refusals();
  const events = new SqlEventStore(database.kysely);
  const guards = new SqlGuardRecords(database.kysely);
  const sessions = new SqlSessionStore(database.kysely);
  const executionStore = new SqlExecutionStore(database.kysely);
  const reviewStore = new SqlReviewStore(database.kysely);
  const watchers = new Watchers((decisionIds) => reviewStore.resolvedAmong(decisionIds));
  const resolved = (review: { readonly decisionId: string }): void => watchers.wake(review.decisionId);
  const reviews = new Reviews({ store: reviewStore, resolved, random, now });
  const latencies = new LatencyWindow();
  const trail = await openTrail(config, store, now);
  const openIssuer = issuerOpener(now, monotonic, log);
  const operatorIssuer = openIssuer(config.oidc, "DATACRAWL_OIDC_*");
  const agentIssuer = openIssuer(config.agentJwt, "DATACRAWL_AGENT_JWT_*");
  await Promise.all([operatorIssuer?.keys.start(), agentIssuer?.keys.start()]);
  const agents = new Agents(directory, {
    tokens: agentIssuer && { ...agentIssuer, claim: agentIssuer.config.claim },
    certificateName: config.agentCertificates?.name ?? null,
    now,
  });
  const admin = openAdmin(store, trail, now, {
    agentChanged: () => directory.refresh(),
    tokens: operatorIssuer && operatorTokens(operatorIssuer),
    process: {
      queueDepth: () => writer.depth,
      latency: () => latencies.quantiles,
      policies: () => policies,
      onFeedError: (error) => log.warn(failureOf(error), "the trail could not be followed for operators"),
      reviewResolved: resolved,
      verificationShare: VERIFICATION_SHARE,
      nameWarnings: () => names.warnings,
      onVerified: ({ state, progress: { rows, problems, findings } }) => {
        if (state === "passed") log.info({ rows }, "the audit trail is verified");
        else log.error({ rows, problems, findings: findings.slice(0, 5) }, "THE AUDIT TRAIL IS NOT WHAT WAS RECORDED");
      },
      onVerificationError: (error) => log.error(failureOf(error), "the audit trail could not be verified"),
    },
  });

  const names = new UnfitNames(directory, admin.accounts);
  const unfit = await names.look();
  if (unfit.length > 0) log.warn({ names: unfit }, "names could be mistaken for others");

  const shared = {
    agents,
    policy: () => policies.current,
    random,
    now,
    monotonic,
    checkRecovery: () => admin.recovery.check(),
    refused: (fault: Fault, { method, agentId, call }: RefusedCall): void => {
      if (fault.status === "unauthenticated") {
        refusals.note(fault.code, call.authorization);
        metrics.authenticationFailed(fault.code);
      }
      logFault(log, fault, { method, agentId, traceparent: call.traceparent });
    },
  };
  const deciding = {
    ...shared,
    admit: (agentId: string) => admission.admit(agentId),
    reviews,
    writer,
    answered: (answer: Answer): void => {
      metrics.answered(answer);
      logAnswer(log, answer);
    },
  };
  const authorize = createAuthorize({ ...deciding, cache, ledger: records, keys: digestKeys, observe: metrics });
  const watchDecision = createWatch({
    ...deciding,
    findClaimOf: (agentId, decisionId) => records.findClaimOf(agentId, decisionId),
    watchers,
  });
  const begun = { ...shared, admit: deciding.admit, executions: executionStore, events };
  const beginExecution = createBegin({
    ...begun,
    reviews,
    executionMicros: config.executionMicros,
    starts: new GroupWriter(startKind(executionStore), monotonic, metrics.executions),
    decisionsVoidBefore: () => admin.recovery.ordersVoidBefore,
    begun: (answer) => metrics.executions.begun(answer),
  });
  const reportOutcome = createReport({
    ...begun,
    ends: new GroupWriter(endKind(executionStore), monotonic, metrics.executions),
    keys: digestKeys,
    reported: (answer) => metrics.executions.reported(answer),
  });
  const syncGuard = createSyncGuard({
    ...shared,
    admit: admitSyncs(rate, monotonic),
    trail: guards,
    circuits: guards,
    orders: admin.bypass,
    commands: new SqlCircuitCommands(database.kysely),
    revoke: (agentId, reason) => admin.bypass.clear(agentId, reason, "service"),
    ordersVoidBefore: () => admin.recovery.ordersVoidBefore,
    grantKeys: () => keys.grants.chain,
  });
  const recordRefusals = async (): Promise<void> => {
    const report = refusals.take();
    if (report === null) return;
    try {
      await events.append(
        makeEvent({ kind: "authentication.refused", actor: "service", detail: report }, now(), random),
      );
    } catch (error) {
      refusals.putBack(report);
      throw error;
    }
  };
  // Guards have followed, or will follow, to the newest key, and then hold orders of an older one void.
  const signAgain = async (): Promise<void> => {
    const orders = await admin.bypass.signAgain();
    if (orders > 0) log.info({ orders }, "grants of an older key were signed again");
  };
  await signAgain();
  const chores = new Chores((name, error) => log.error({ chore: name, ...failureOf(error) }, "a chore failed"));
  chores.every(60_000, "look for names that could be mistaken for others", () => names.look());
  chores.every(60_000, "purge expired claims", () => records.purgeExpiredClaims());
  chores.every(60_000, "record refused credentials", recordRefusals);
  chores.every(60_000, "keep the policies' text", keepPolicies);
  chores.every(60_000, "record refused operators", () => admin.trail.report());
  chores.every(3_600_000, "purge ended sessions", () => sessions.purge(SESSION_LIFETIME));
  chores.every(60_000, "go on with a verification", () => admin.verification.resume());
  const nightly = scheduleVerification(config.verifyAt, admin.verification, (error) =>
    log.error(failureOf(error), "the audit trail could not be verified"),
  );
  const verified = new VerificationMetrics(metrics, admin.verification);
  chores.every(10_000, "know of the last verification", () => verified.refresh());
  let toldProblems = 0;
  const seal = async (): Promise<void> => {
    try {
      await trail.keeper.turn();
      await admin.recovery.turn();
    } finally {
      const { problems } = trail.keeper;
      if (problems.length > 0) log.error({ problems }, "the audit trail needs attention");
      else if (toldProblems > 0) log.info("the audit trail is sealed and published again");
      toldProblems = problems.length;
    }
  };
  chores.every(SEAL_EVERY_MS, "seal the audit trail", seal);
  chores.every(5_000, "deny reviews that nobody answered", () => reviews.expireDue());
  chores.every(5_000, "note unresolved executions", async () => {
    await admin.executions.noteUnresolved();
    metrics.executions.showUnresolved(await admin.executions.countUnresolved());
  });
  chores.every(500, "look for resolved reviews", () => watchers.look());
  chores.every(3_600_000, "make partitions", () => store.makePartitions());
  chores.every(3_600_000, "forget old circuits", () => guards.forgetOldCircuits());

  metrics.watch(
    "datacrawl_policies_refused",
    "1 if the newest policies are broken or cannot be read, so that older ones decide.",
    () => (policies.problem === null ? 0 : 1),
  );
  metrics.watch("datacrawl_policies_read_age_seconds", "Since the directory of the policies was last read.", () =>
    Math.max(0, policies.age / 1000),
  );
  metrics.watch("datacrawl_audit_rolled_back", "1 if the database lacks what is published.", () =>
    trail.keeper.rollback === null ? 0 : 1,
  );
  metrics.watch(
    "datacrawl_in_recovery",
    "1 while agents are allowed nothing, because a rollback of the database is not acknowledged.",
    () => (admin.recovery.isActive ? 1 : 0),
  );
  metrics.watch(
    "datacrawl_audit_problems",
    "What keeps the audit trail from being sealed and published, counted; /readyz names it.",
    () => trail.keeper.problems.length,
  );
  metrics.watch("datacrawl_audit_sealed_age_seconds", "Since the audit trail was last found or made sealed.", () =>
    Math.max(0, (now() - trail.keeper.sealedAt) / 1_000_000),
  );
  metrics.watch(
    "datacrawl_audit_oldest_writer_seconds",
    "How long a transaction has kept its rows from being sealed.",
    () => trail.keeper.oldestWriter / 1_000_000,
  );
  // A rollback is known before anything is answered.
  await trail.keeper.check();
  for (const problem of trail.keeper.problems) log.error({ problem }, "the audit trail needs attention");
  // It is tried again with each turn of the trail's.
  await admin.recovery
    .turn()
    .catch((error: unknown) => log.error(failureOf(error), "what a rollback has lost was not repaired"));
  // Last, for it works on from now on.
  const webhooks = await openWebhooks(config, { database, chores, log, registry: metrics.registry, now });

  return {
    roads: {
      authorize: timed(traced(authorize), latencies, monotonic),
      watchDecision,
      beginExecution,
      reportOutcome,
      syncGuard: syncGuardRoad(syncGuard),
      source: "service",
    },
    admin,
    checks: {
      store: async () => {
        await database.ping();
        return null;
      },
      agents: () => (directory.age < 5000 ? null : "the agents' states have not been confirmed for 5 s"),
      clock: () => clock.problem,
      // The last good bundle decides meanwhile: a broken file must not take every replica out of service.
      policy: () =>
        policies.problem === null ? null : { warning: `the newest policies are not in force: ${policies.problem}` },
      // Decisions are recorded meanwhile, and can be sealed later.
      audit: () => (trail.keeper.problems.length === 0 ? null : { warning: trail.keeper.problems.join("; ") }),
    },
    get policyVersion() {
      return policies.current.version;
    },
    reloadPolicies: () => policies.reload(),
    reloadGrantKeys: async () => {
      await reloadGrantKeys(config.keysDir, keys);
      await signAgain();
    },
    drain: () => admission.close(),
    close: async () => {
      chores.stop();
      await webhooks.close();
      nightly.stop();
      await admin.verification.stop();
      for (const record of [recordRefusals, () => admin.trail.report()]) {
        await record().catch((error: unknown) => log.error(failureOf(error), "refused credentials were not recorded"));
      }
      directory.stop();
      operatorIssuer?.keys.stop();
      agentIssuer?.keys.stop();
      await cache.close();
    },
  };
}

/** An issuer's keys, and what verifies its tokens. */
interface Issuer<Kind extends IssuerConfig> {
  readonly config: Kind;
  readonly keys: Jwks;
  readonly verifier: JwtVerifier;
}

function issuerOpener(now: () => number, monotonic: () => number, log: Log) {
  /** Null if none is configured. @param settings the variables that configure it, for the log */
  return function openIssuer<Kind extends IssuerConfig>(config: Kind | null, settings: string): Issuer<Kind> | null {
    if (config === null) return null;
    const { issuer, jwksUrl: url } = config;
    const onError = (error: unknown): void => {
      log.error({ issuer, settings, ...failureOf(error) }, "the issuer's keys could not be read");
    };
    const keys = new Jwks({ issuer, url, fetchJson, monotonic, onError });
    return { config, keys, verifier: new JwtVerifier(config, keys.find, now) };
  };
}

function operatorTokens({ config, verifier }: Issuer<OidcConfig>): OperatorTokens {
  return new OperatorTokens(verifier, { role: config.roleClaim, name: config.nameClaim });
}

function openCache(config: Config, keys: DigestKeys, now: () => number, monotonic: () => number, log: Log): ClaimCache {
  if (config.redisUrl === null) return new MemoryClaimCache(now);
  const redis = openRedis(config.redisUrl, (error) => log.warn({ cause: error.message }, "Redis failed"));
  return new RedisClaimCache(redis, keys, now, monotonic);
}
