import type { Question } from "@datacrawl/core/request";
import { type Breaker, type BreakerConfig, createBreaker, type SharedCircuit } from "../circuit/breaker.ts";
import { RedisLink } from "../circuit/redis-link.ts";
import { openSharedCircuit } from "../circuit/shared-redis.ts";
import type { Clock } from "@datacrawl/core/clock";
import type { RandomPool } from "@datacrawl/core/ids";
import type { Road } from "./ask.ts";
import { type CircuitOrders, openCircuitOrders } from "../circuit/command.ts";
import { fraction } from "./chance.ts";
import { unframeConnect, unframeConnectStream } from "../transport/framing-connect.ts";
import { unframeGrpc, unframeGrpcStream } from "../transport/framing-grpc.ts";
import { type GrantKeeper, type GrantStatus, openGrantKeeper } from "../grants/grants.ts";
import { redisGrants, type SharedGrants } from "../grants/redis.ts";
import { createGuard, type Guard, type GuardCall, type GuardParts } from "./guard.ts";
import { type Journal, openJournal } from "../journal/journal.ts";
import { Limit } from "./limit.ts";
import type { GuardRequest } from "./question.ts";
import { startSync, type Sync, type SyncStatus } from "../sync/sync.ts";
import { circuitReport, exchangeSync } from "../sync/exchange.ts";
import type { Endpoint } from "../transport/transport.ts";
import { openConnectTransport } from "../transport/transport-connect.ts";
import { openGrpcTransport } from "../transport/transport-grpc.ts";
import { guardVerdict, type GuardVerdict } from "./verdict.ts";
import { type ReviewVerdict, waitForReview, type WatchRoad } from "./wait.ts";
import { messageOf } from "@datacrawl/core/fault";

export interface GuardSettings {
  readonly endpoint: Endpoint;
  readonly transport: "grpc" | "connect";
  readonly agentId: string;
  readonly circuit: BreakerConfig;
  /** Null: the circuit is this process's alone, and grants come from the service and the disk alone. */
  readonly redisUrl: string | null;
  /** Null: no bypass, and denies that are not uploaded are lost with the process. */
  readonly journalDir: string | null;
  /** False for a process that asks once and ends: it follows no grants, and its circuit is not reported. True if not given. */
  readonly syncs?: boolean;
  readonly clock: Clock;
  readonly random: RandomPool;
  readonly onBug?: GuardParts["onBug"];
}

/** A guard with all that belongs to it. */
export interface OpenGuard extends Guard {
  readonly breaker: Breaker;
  /** Null until the journal is open. */
  readonly status: GuardStatus | null;
  /** Resolves, never rejects, when the journal is open: to null, or to why it is not on disk though it should be. */
  readonly opened: Promise<string | null>;
  /**
   * What becomes of a decision that needs a review. Never rejects, and never outlives the call's deadline; touches neither circuit
   * nor journal.
   */
  waitForReview(decisionId: string, call: GuardCall): Promise<ReviewVerdict>;
  /** Uploads what it can within a few seconds, and lets go of everything. */
  close(): Promise<void>;
}

export interface GuardStatus {
  readonly sync: SyncStatus;
  readonly grant: GrantStatus;
  readonly journal: {
    /** Records that wait for upload. */
    readonly unsynced: number;
    /** Denies that were counted but not kept one by one. */
    readonly coalescedDenies: number;
  };
  /** What an operator should know of the journal, the grants and Redis. */
  readonly problems: readonly string[];
}

/** Starts at once; calls that come before the journal is open wait for it, within their deadlines. */
export function openGuard(settings: GuardSettings): OpenGuard {
  return new AssembledGuard(settings);
}

/** What is there once the journal is open. */
interface Core {
  readonly guard: Guard;
  readonly journal: Journal;
  readonly grants: GrantKeeper;
  readonly sync: Sync;
  readonly orders: CircuitOrders;
  /** Why there is no disk, though there should be one. */
  readonly problem: string | null;
}

interface Fleet {
  readonly circuit: SharedCircuit;
  readonly link: RedisLink;
  readonly grants: SharedGrants;
}

class AssembledGuard implements OpenGuard {
  readonly breaker: Breaker;
  readonly #settings: GuardSettings;
  readonly #road: Road;
  /** A connection of its own: those who wait for people must not take the place of those who ask. */
  readonly #watchRoad: WatchRoad;
  readonly #closing = new AbortController();
  readonly #fleet: Fleet | null;
  readonly #opening: Promise<Core>;
  #core: Core | null = null;

  constructor(settings: GuardSettings) {
    const { endpoint, agentId, circuit: config, clock, random } = settings;
    this.#settings = settings;
    this.#road = openRoad(settings);
    this.#watchRoad = openRoad(settings);
    this.#fleet = openFleet(settings);
    const shared = this.#fleet && { shared: this.#fleet.circuit };
    this.breaker = createBreaker({
      service: endpoint.url.origin,
      agentId,
      config,
      clock,
      random: () => fraction(random),
      ...shared,
    });
    this.#opening = this.#open().then((core) => (this.#core = core));
  }

  get opened(): Promise<string | null> {
    return this.#opening.then(({ problem }) => problem);
  }

  get status(): GuardStatus | null {
    if (this.#core === null) return null;
    const { journal, grants, sync, orders, problem } = this.#core;
    const redis = this.#fleet?.circuit.problem ?? null;
    return {
      sync: sync.status,
      grant: grants.status,
      journal: journal.counts,
      problems: [
        ...(problem === null ? [] : [problem]),
        ...journal.problems,
        ...grants.status.problems,
        ...(orders.problem === null ? [] : [orders.problem]),
        ...(redis === null ? [] : [`Redis: ${redis}`]),
      ],
    };
  }

  authorize(request: GuardRequest, call: GuardCall): Promise<GuardVerdict> {
    return this.#whenOpen(call, (guard) => guard.authorize(request, call));
  }

  decide(question: Question, call: GuardCall): Promise<GuardVerdict> {
    return this.#whenOpen(call, (guard) => guard.decide(question, call));
  }

  waitForReview(decisionId: string, { deadlineAt, signal }: GuardCall): Promise<ReviewVerdict> {
    const closing = this.#closing.signal;
    const signals = signal === undefined ? closing : AbortSignal.any([closing, signal]);
    const { agentId, clock, random } = this.#settings;
    return waitForReview({ road: this.#watchRoad, agentId, clock, random }, decisionId, {
      deadlineAt,
      signal: signals,
    });
  }

  #whenOpen(call: GuardCall, ask: (guard: Guard) => Promise<GuardVerdict>): Promise<GuardVerdict> {
    return this.#core === null ? this.#onceOpen(call, ask) : ask(this.#core.guard);
  }

  async #onceOpen(call: GuardCall, ask: (guard: Guard) => Promise<GuardVerdict>): Promise<GuardVerdict> {
    using limit = new Limit(this.#settings.clock, call.deadlineAt, call.signal);
    const opened = await limit.within(this.#opening);
    if ("value" in opened) return await ask(opened.value.guard);
    return guardVerdict(this.#settings, "DEADLINE_EXCEEDED", "The journal was not open in time.");
  }

  async close(): Promise<void> {
    // A sync keeps no process alive; one that somebody awaits must be waited for.
    const awake = setInterval(() => {}, 1000);
    this.#closing.abort();
    try {
      const { journal, sync } = await this.#opening;
      await sync.close();
      await this.breaker.close();
      await journal.close();
    } finally {
      this.#fleet?.link.close();
      this.#road.transport.close();
      this.#watchRoad.transport.close();
      clearInterval(awake);
    }
  }

  /** Never rejects: a disk that fails takes the bypass away, and nothing else. */
  async #open(): Promise<Core> {
    const { journalDir, agentId, syncs = true, clock, random } = this.#settings;
    const { journal, grants, problem } = await openDisk(journalDir, agentId, clock);
    const { breaker } = this;
    const road = this.#road;
    // Before the first call: a circuit that was held open stays so, also while the service is down.
    const orders = await openCircuitOrders({ dir: journalDir, agentId, breaker, clock });
    const sync = startSync({
      exchange: (request, timeoutMs) => exchangeSync(road, request, timeoutMs, clock),
      journal,
      grants,
      report: () => circuitReport(breaker.snapshot, clock.now()),
      clock,
      random: () => fraction(random),
      onCommand: (command) => orders.take(command),
      rounds: syncs,
      ...(this.#fleet && { redis: this.#fleet.grants }),
    });
    return {
      guard: createGuard({ ...this.#settings, road, breaker, journal, grants }),
      journal,
      grants,
      sync,
      orders,
      problem,
    };
  }
}

function openRoad({ transport, endpoint }: GuardSettings): Road & WatchRoad {
  switch (transport) {
    case "grpc":
      return { transport: openGrpcTransport(endpoint), unframe: unframeGrpc, unframeStream: unframeGrpcStream };
    case "connect":
      return {
        transport: openConnectTransport(endpoint),
        unframe: unframeConnect,
        unframeStream: unframeConnectStream,
      };
  }
}

function openFleet({ redisUrl, endpoint, agentId, circuit: config, clock, random }: GuardSettings): Fleet | null {
  if (redisUrl === null) return null;
  const service = endpoint.url.origin;
  // A connection of its own: one that waits for a slow reply is dropped, and must not take the circuit's with it.
  const link = new RedisLink(
    redisUrl,
    "datacrawl:grants",
    () => fraction(random),
    () => {},
  );
  return {
    circuit: openSharedCircuit({ redisUrl, service, agentId, config, clock, random: () => fraction(random) }),
    link,
    grants: redisGrants(link, service, agentId),
  };
}

async function openDisk(
  dir: string | null,
  agentId: string,
  clock: Clock,
): Promise<Omit<Core, "guard" | "sync" | "orders">> {
  try {
    const grants = await openGrantKeeper({ dir, agentId, clock });
    return { grants, journal: await openJournal({ dir, agentId, clock }), problem: null };
  } catch (error) {
    if (dir === null) throw error;
    const memory = await openDisk(null, agentId, clock);
    return { ...memory, problem: `${dir} cannot be used: ${messageOf(error)}` };
  }
}
