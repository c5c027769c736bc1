import { join } from "node:path";
import type { Question } from "@datacrawl/core/request";
import { type Breaker, type BreakerConfig, createBreaker, type SharedCircuit } from "../circuit/breaker.ts";
import { RedisLink } from "../circuit/redis-link.ts";
import { openSharedCircuit } from "../circuit/shared-redis.ts";
import type { Clock } from "@datacrawl/core/clock";
import { Deadline } from "@datacrawl/core/deadline";
import type { RandomPool } from "@datacrawl/core/ids";
import { type CircuitCommands, openCircuitCommands } from "../circuit/command.ts";
import { fraction } from "./chance.ts";
import { type GrantKeeper, type GrantStatus, openGrantKeeper } from "../grants/grants.ts";
import { redisGrants, type SharedGrants } from "../grants/redis.ts";
import { type CallableTools, callableTools } from "./callable-tools.ts";
import type { GuardReported, GuardStart } from "./execution.ts";
import type { BeginRequest, ReportRequest } from "./executions.ts";
import { Guard, type GuardParts } from "./guard.ts";
import { type Journal, openJournal } from "../journal/journal.ts";
import { KeptReports } from "../journal/kept-reports.ts";
import { BypassStarts } from "../journal/starts.ts";
import type { GuardRequest } from "./question.ts";
import { startSync, type Sync, type SyncStatus } from "../sync/sync.ts";
import { circuitReport, exchangeSync } from "../sync/exchange.ts";
import { type Endpoint, Transport } from "../transport/transport.ts";
import type { GuardCall } from "./through-circuit.ts";
import { guardVerdict, type GuardVerdict } from "./verdict.ts";
import { waitForReview } from "./wait.ts";
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

/** The state of a client's guard: uploads, grant, journal and warnings. A snapshot. */
export interface GuardStatus {
  /** The exchange with the service: uploads of the journal, downloads of grants and circuit commands. */
  readonly sync: SyncStatus;
  /** The bypass grant. */
  readonly grant: GrantStatus;
  /** The records of the guard's own decisions. */
  readonly journal: {
    /** Records that wait for upload. */
    readonly unsynced: number;
    /** Denies that were counted but not kept one by one. */
    readonly coalescedDenies: number;
  };
  /** Problems of the journal, the grants and Redis, as sentences for operators. */
  readonly problems: readonly string[];
}

/** What is there once the journal is open. */
interface Core {
  readonly guard: Guard;
  readonly journal: Journal;
  readonly grants: GrantKeeper;
  readonly sync: Sync;
  readonly commands: CircuitCommands;
  /** Why there is no disk, though there should be one. */
  readonly problem: string | null;
}

const NOT_OPEN = {
  reason: "DEADLINE_EXCEEDED",
  message: "The journal was not open in time.",
  refusal: null,
} as const;

interface Fleet {
  readonly circuit: SharedCircuit;
  readonly link: RedisLink;
  readonly grants: SharedGrants;
}

/** A guard with all that belongs to it. Starts at once; calls that come before the journal is open wait for it, within their deadlines. */
export class OpenGuard {
  readonly breaker: Breaker;
  readonly #settings: GuardSettings;
  readonly #transport: Transport;
  /** A connection of its own: those who wait for people must not take the place of those who ask. */
  readonly #watchTransport: Transport;
  readonly #closing = new AbortController();
  readonly #fleet: Fleet | null;
  readonly #opening: Promise<Core>;
  #core: Core | null = null;

  constructor(settings: GuardSettings) {
    const { transport, endpoint, agentId, circuit: config, clock, random } = settings;
    this.#settings = settings;
    this.#transport = new Transport(transport, endpoint);
    this.#watchTransport = new Transport(transport, endpoint);
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

  /** Resolves, never rejects, when the journal is open: to null, or to why it is not on disk though it should be. */
  get opened(): Promise<string | null> {
    return this.#opening.then(({ problem }) => problem);
  }

  /** Null until the journal is open. */
  get status(): GuardStatus | null {
    if (this.#core === null) return null;
    const { journal, grants, sync, commands, problem } = this.#core;
    const redis = this.#fleet?.circuit.problem ?? null;
    return {
      sync: sync.status,
      grant: grants.status,
      journal: journal.counts,
      problems: [
        ...(problem === null ? [] : [problem]),
        ...journal.problems,
        ...grants.status.problems,
        ...(commands.problem === null ? [] : [commands.problem]),
        ...(redis === null ? [] : [`Redis: ${redis}`]),
      ],
    };
  }

  /** @see Guard.authorize */
  async authorize(request: GuardRequest, call: GuardCall): Promise<GuardVerdict> {
    const guard = this.#core?.guard ?? (await this.#openedFor(call));
    return guard === null ? this.#notOpen() : guard.authorize(request, call);
  }

  /** @see Guard.decide */
  async decide(question: Question, call: GuardCall): Promise<GuardVerdict> {
    const guard = this.#core?.guard ?? (await this.#openedFor(call));
    return guard === null ? this.#notOpen() : guard.decide(question, call);
  }

  /** @see Executions.begin */
  async begin(request: BeginRequest, call: GuardCall): Promise<GuardStart> {
    const guard = this.#core?.guard ?? (await this.#openedFor(call));
    if (guard !== null) return guard.executions.begin(request, call);
    const { decisionId } = request;
    return { state: "refused", source: "guard", decisionId, ...NOT_OPEN };
  }

  /** @see Executions.report */
  async report(request: ReportRequest, call: GuardCall): Promise<GuardReported> {
    const guard = this.#core?.guard ?? (await this.#openedFor(call));
    return guard === null
      ? { state: "not_recorded", ...NOT_OPEN, reportRefusal: null, kept: false }
      : guard.executions.report(request, call);
  }

  /**
   * What becomes of a decision that needs a review. Never rejects, and never outlives the call's deadline; touches neither circuit
   * nor journal.
   */
  waitForReview(decisionId: string, { deadlineAt, signal }: GuardCall): Promise<GuardVerdict> {
    const closing = this.#closing.signal;
    const signals = signal === undefined ? closing : AbortSignal.any([closing, signal]);
    const { agentId, clock, random } = this.#settings;
    const parts = { transport: this.#watchTransport, agentId, clock, random };
    return waitForReview(parts, decisionId, { deadlineAt, signal: signals });
  }

  /** @see callableTools */
  callableTools(tools: readonly string[], call: GuardCall): Promise<CallableTools> {
    const { agentId, clock, random } = this.#settings;
    return callableTools({ transport: this.#transport, agentId, clock, random }, tools, call);
  }

  /** Null if the call's time is up first. */
  async #openedFor({ deadlineAt, signal }: GuardCall): Promise<Guard | null> {
    using deadline = new Deadline(this.#settings.clock, deadlineAt, { signal });
    const opened = await deadline.race(this.#opening);
    return opened.kind === "done" ? opened.value.guard : null;
  }

  #notOpen(): GuardVerdict {
    return guardVerdict(this.#settings, NOT_OPEN.reason, NOT_OPEN.message);
  }

  /** Uploads what it can within a few seconds, and lets go of everything. */
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
      this.#transport.close();
      this.#watchTransport.close();
      clearInterval(awake);
    }
  }

  /** Never rejects: a disk that fails takes the bypass away, and nothing else. */
  async #open(): Promise<Core> {
    const { journalDir, agentId, syncs = true, clock, random } = this.#settings;
    const { journal, grants, starts, reports, problem } = await openDisk(journalDir, agentId, clock);
    const { breaker } = this;
    const transport = this.#transport;
    // Before the first call: a circuit that was held open stays so, also while the service is down.
    const commands = await openCircuitCommands({ dir: journalDir, agentId, breaker, clock });
    const guard = new Guard({ ...this.#settings, transport, breaker, journal, grants, starts, reports });
    const sync = startSync({
      exchange: (request, timeoutMs) => exchangeSync(transport, request, timeoutMs, clock),
      journal,
      grants,
      report: () => circuitReport(breaker.snapshot, clock.now()),
      clock,
      random: () => fraction(random),
      onCommand: (command) => commands.take(command),
      beforeUpload: async () => {
        await starts.tellJournal();
        await guard.executions.sendKept();
      },
      rounds: syncs,
      ...(this.#fleet && { redis: this.#fleet.grants }),
    });
    return {
      guard,
      journal,
      grants,
      sync,
      commands,
      problem,
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
): Promise<
  Omit<Core, "guard" | "sync" | "commands"> & { readonly starts: BypassStarts; readonly reports: KeptReports }
> {
  try {
    const grants = await openGrantKeeper({ dir, agentId, clock });
    const journal = await openJournal({ dir, agentId, clock });
    const starts = new BypassStarts({ dir: dir === null ? null : join(dir, agentId), agentId, clock, journal });
    await starts.tellJournal();
    const reports = new KeptReports(dir === null ? null : join(dir, agentId), clock);
    return { grants, starts, reports, journal, problem: null };
  } catch (error) {
    if (dir === null) throw error;
    const memory = await openDisk(null, agentId, clock);
    return { ...memory, problem: `${dir} cannot be used: ${messageOf(error)}` };
  }
}
