import { makeEvent } from "../../audit/row/event.ts";
import { GroupWriter, WRITER_LIMITS } from "../../audit/write/group-writer.ts";
import { RecordWriter } from "../../audit/write/writer.ts";
import { Agents } from "../../authn/agents.ts";
import { AgentDirectory } from "../../authn/directory.ts";
import { Refusals } from "../../authn/refusals.ts";
import { Admission, admitSyncs } from "../../authorize/admission.ts";
import { createAuthorize } from "../../authorize/authorize.ts";
import { createCallableTools } from "../../authorize/callable-tools.ts";
import { createBegin } from "../../authorize/begin.ts";
import { endKind, startKind } from "../../authorize/execution-entries.ts";
import { RecentDecisions } from "../../authorize/recent-decisions.ts";
import { createReport } from "../../authorize/report.ts";
import { Reviews } from "../../authorize/reviews.ts";
import type { RefusedCall } from "../../authorize/frame.ts";
import { createWatch } from "../../authorize/watch.ts";
import { Watchers } from "../../authorize/watchers.ts";
import { createSyncGuard } from "../../authorize/sync-guard.ts";
import { systemClock } from "../../core/clock.ts";
import type { Config } from "../../config.ts";
import type { Answer } from "../../authorize/call.ts";
import type { Fault } from "../../core/fault.ts";
import { deriveDigestKeys, type DigestKeys } from "../../idempotency/key.ts";
import type { ClaimCache } from "../../idempotency/ledger.ts";
import { MemoryClaimCache } from "../../idempotency/memory-cache.ts";
import { RedisClaimCache } from "../../idempotency/redis-cache.ts";
import { RandomPool } from "../../core/ids.ts";
import { type PolicySource } from "../../policy/source.ts";
import type { Store } from "../../store/open.ts";
import { openAdmin } from "../admin/operations.ts";
import type { Admin } from "../admin/service.ts";
import { openRepositories } from "../repositories.ts";
import { PeriodicTasks } from "./periodic-tasks.ts";
import { watchGauges } from "./gauges.ts";
import { openIssuers } from "./issuers.ts";
import { startTasks } from "./tasks.ts";
import { failureOf } from "../failure.ts";
import type { Check } from "./health.ts";
import { type Log, logAnswer, logFault } from "./log.ts";
import { LatencyWindow } from "./latency.ts";
import type { Metrics } from "./metrics.ts";
import type { AgentHandlers } from "../handlers.ts";
import { traced } from "./tracing.ts";
import { openTrail, type Trail } from "./trail.ts";
import { UnfitNames } from "./unfit-names.ts";
import { openWebhooks } from "./webhooks.ts";
import { scheduleVerification, VerificationMetrics } from "./verification.ts";
import { reloadGrantKeys } from "../../keys/service-keys.ts";
import { openRedis } from "./redis.ts";
import { StoreClock } from "./store-clock.ts";

/** Of the time, how much a verification may take from decisions. */
const VERIFICATION_SHARE = 0.05;
/** Two statements under way would each carry half of the starts, and a statement costs much besides its rows. */
const START_LIMITS = { ...WRITER_LIMITS, inFlight: 1 };

/** The decision service without its listeners. */
export interface Service {
  readonly handlers: AgentHandlers;
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
  const { keys } = store;
  const repositories = openRepositories(store);
  const { events, executions, guards, records } = repositories;
  const random = new RandomPool();
  const monotonic = (): number => systemClock.monotonic();
  const clock = new StoreClock(systemClock);
  const now = (): number => clock.now();

  // Again and again: while the database is down nothing is decided that these policies would have to explain.
  const keepPolicies = (): Promise<void> => repositories.bundles.keep(policies.current.version, policies.current.files);
  logPolicies(policies, keepPolicies, log);
  await keepPolicies();
  const directory = new AgentDirectory({
    store: repositories.agents,
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
  const writer = new RecordWriter(records, monotonic, metrics);
  metrics.watchQueue(() => writer.depth);
  const rate = { ratePerAgent: config.agentRate, burstPerAgent: config.agentBurst };
  const admission = new Admission(rate, monotonic);
  const refusals = new Refusals();
  const watchers = new Watchers((decisionIds) => repositories.reviews.resolvedAmong(decisionIds));
  const resolved = (review: { readonly decisionId: string }): void => watchers.wake(review.decisionId);
  const reviews = new Reviews({ store: repositories.reviews, resolved, random, now });
  const latencies = new LatencyWindow();
  const trail = await openTrail(config, repositories, now);
  const issuers = await openIssuers(config, now, monotonic, log);
  const agents = new Agents(directory, {
    tokens: issuers.agents,
    certificateName: config.agentCertificates?.name ?? null,
    now,
  });
  const admin = openAdmin(store, repositories, trail, now, {
    agentChanged: () => directory.refresh(),
    tokens: issuers.operators,
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
  const recent = new RecentDecisions();
  const authorize = createAuthorize({
    ...deciding,
    recent,
    answered: (answer, milliseconds) => {
      deciding.answered(answer);
      latencies.observe(milliseconds);
    },
    cache,
    ledger: records,
    keys: digestKeys,
    observe: metrics,
  });
  const watchDecision = createWatch({
    ...deciding,
    findClaimOf: (agentId, decisionId) => records.findClaimOf(agentId, decisionId),
    watchers,
  });
  const begun = { ...shared, admit: deciding.admit, executions, events };
  const beginExecution = createBegin({
    ...begun,
    recent,
    reviews,
    executionMicros: config.executionMicros,
    starts: new GroupWriter(startKind(executions), monotonic, metrics.executions, START_LIMITS),
    decisionsVoidBefore: () => admin.recovery.ordersVoidBefore,
    begun: (answer) => metrics.executions.begun(answer),
  });
  const reportOutcome = createReport({
    ...begun,
    ends: new GroupWriter(endKind(executions), monotonic, metrics.executions),
    keys: digestKeys,
    reported: (answer) => metrics.executions.reported(answer),
  });
  const listCallableTools = createCallableTools({ ...shared, admit: deciding.admit });
  const syncGuard = createSyncGuard({
    ...shared,
    admit: admitSyncs(rate, monotonic),
    trail: guards,
    decisions: executions,
    uploads: repositories.guardExecutions,
    executionMicros: config.executionMicros,
    keys: digestKeys,
    circuits: guards,
    orders: admin.bypass,
    commands: repositories.commands,
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
  const periodic = new PeriodicTasks((name, error) =>
    log.error({ task: name, ...failureOf(error) }, "a periodic task failed"),
  );
  startTasks(periodic, {
    store,
    repositories,
    admin,
    trail,
    reviews,
    watchers,
    names,
    metrics,
    log,
    keepPolicies,
    recordRefusals,
  });
  const nightly = scheduleVerification(config.verifyAt, admin.verification, (error) =>
    log.error(failureOf(error), "the audit trail could not be verified"),
  );
  const verified = new VerificationMetrics(metrics, admin.verification);
  periodic.every(10_000, "know of the last verification", () => verified.refresh());
  watchGauges(metrics, policies, trail, admin.recovery, now);
  // A rollback is known before anything is answered.
  await trail.keeper.check();
  for (const problem of trail.keeper.problems) log.error({ problem }, "the audit trail needs attention");
  // It is tried again with each turn of the trail's.
  await admin.recovery
    .turn()
    .catch((error: unknown) => log.error(failureOf(error), "what a rollback has lost was not repaired"));
  // Last, for it works on from now on.
  const webhooks = await openWebhooks(config, {
    outbox: repositories.outbox,
    periodic,
    log,
    registry: metrics.registry,
    now,
  });

  return {
    handlers: {
      authorize: traced(authorize),
      watchDecision,
      beginExecution,
      reportOutcome,
      syncGuard,
      listCallableTools,
      source: "service",
    },
    admin,
    checks: healthChecks(store, directory, clock, policies, trail),
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
      periodic.stop();
      await webhooks.close();
      nightly.stop();
      await admin.verification.stop();
      for (const record of [recordRefusals, () => admin.trail.report()]) {
        await record().catch((error: unknown) => log.error(failureOf(error), "refused credentials were not recorded"));
      }
      directory.stop();
      issuers.stop();
      await cache.close();
    },
  };
}

function logPolicies(policies: PolicySource, keepPolicies: () => Promise<void>, log: Log): void {
  const logWarnings = (): void => {
    if (policies.warnings.length > 0) log.warn({ warnings: policies.warnings }, "policies have warnings");
  };
  logWarnings();
  policies.onChange = (event) => {
    if (event.kind === "unread") {
      log.error({ problem: event.problem }, "policies could not be read; the last good ones stay active");
    } else if (event.kind === "activated") {
      log.info({ policyVersion: event.version }, "policies activated");
      logWarnings();
      keepPolicies().catch((error: unknown) => log.warn(failureOf(error), "the policies' text was not kept yet"));
    } else log.error({ problems: event.problems }, "policies refused; the last good ones stay active");
  };
}

function healthChecks(
  { database }: Store,
  directory: AgentDirectory,
  clock: StoreClock,
  policies: PolicySource,
  trail: Trail,
): Service["checks"] {
  return {
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
  };
}

function openCache(config: Config, keys: DigestKeys, now: () => number, monotonic: () => number, log: Log): ClaimCache {
  if (config.redisUrl === null) return new MemoryClaimCache(now);
  const redis = openRedis(config.redisUrl, (error) => log.warn({ cause: error.message }, "Redis failed"));
  return new RedisClaimCache(redis, keys, now, monotonic);
}
