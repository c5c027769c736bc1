import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { CircuitReportSchema, SyncGuardRequestSchema } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { SyncGuardRequest, SyncGuardResponse } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { Clock, Micros } from "@datacrawl/core/clock";
import { failpoint } from "@datacrawl/core/failpoint";
import { hex } from "@datacrawl/core/journal-format";
import type { CircuitCommand } from "../circuit/command.ts";
import type { GrantKeeper } from "../grants/grants.ts";
import type { SharedGrants } from "../grants/redis.ts";
import type { Journal, JournalEntry } from "../journal/journal.ts";

export interface SyncOptions {
  /** One SyncGuard call. Settles within `timeoutMs`; rejects if there was no sound answer. */
  readonly exchange: (request: SyncGuardRequest, timeoutMs: number) => Promise<SyncGuardResponse>;
  readonly journal: Journal;
  readonly grants: GrantKeeper;
  /** The circuit now. What it says of the journal is filled in here. */
  readonly report: () => MessageInitShape<typeof CircuitReportSchema>;
  readonly clock: Clock;
  /** From 0 to 1, without 1. */
  readonly random: () => number;
  /** Between two exchanges while all is well, give or take a fifth. 5000 if not given. */
  readonly intervalMs?: number;
  /** Called with the operators' newest command for the circuit, from the service's answer; null if there is none. */
  readonly onCommand?: (command: CircuitCommand | null) => Promise<void>;
  /** Brings into the journal what is missing there, and does what waits for the service. Its failure keeps nothing from being uploaded. */
  readonly beforeUpload?: () => Promise<void>;
  /** Called when the service has answered. */
  readonly onSynced?: () => void;
  /** Where guards of this agent leave orders for each other. */
  readonly redis?: SharedGrants;
  /** False: there are no rounds by themselves, and so no circuit is reported. What is left is uploaded at the end. */
  readonly rounds?: boolean;
}

export interface Sync {
  /** An exchange that begins now, or after the one under way. Resolves when it is over, also if it failed. */
  now(): Promise<void>;
  readonly status: SyncStatus;
  /**
   * Waits for an exchange under way, uploads for a few seconds what is left, and reports to a service that knows this guard that its circuit has
   * ended. Never rejects.
   */
  close(): Promise<void>;
}

/** The exchange of a guard with the service. */
export interface SyncStatus {
  /** When the service last answered, in microseconds since 1970; null if it never did. */
  readonly syncedAt: Micros | null;
  /** Rounds that have failed in a row. A round fails also if only the upload did. */
  readonly failures: number;
  /** Why the last round failed; null if it did not. */
  readonly lastError: string | null;
}

/** Fetches grants, uploads the journal and reports the circuit, again and again. Never keeps a process alive. */
export function startSync(options: SyncOptions): Sync {
  return new Loop(options);
}

const INTERVAL_MS = 5000;
/** Of one call. */
export const TIMEOUT_MS = 3000;
const MAX_RECORDS = 500;
/** Half of what the service takes in one message. */
const MAX_RECORD_BYTES = 512 * 1024;

class Loop implements Sync {
  readonly #options: SyncOptions;
  readonly #intervalMs: number;
  #status: SyncStatus = { syncedAt: null, failures: 0, lastError: null };
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #queued: Promise<void> | null = null;
  /** The service has a report of the circuit, and acknowledged the last one. */
  #isKnown = false;
  #isClosed = false;

  constructor(options: SyncOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs ?? INTERVAL_MS;
    // Soon, but not all processes of a machine that starts at once.
    if (options.rounds !== false) this.#schedule(options.random() * (this.#intervalMs / 5));
  }

  get status(): SyncStatus {
    return this.#status;
  }

  now(): Promise<void> {
    this.#queued ??= this.#running.then(() => {
      this.#queued = null;
      this.#running = this.#round();
      return this.#running;
    });
    return this.#queued;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await (this.#queued ?? this.#running);
    const { journal } = this.#options;
    try {
      await this.#beforeUpload();
      if (journal.counts.unsynced > 0) await this.#uploadRest();
      if (this.#isKnown) await this.#ask({ journalId: journal.id, closing: true });
    } catch (error) {
      this.#status = { ...this.#status, failures: this.#status.failures + 1, lastError: String(error) };
    }
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#isClosed) this.#timer = setTimeout(() => void this.now(), delayMs).unref();
  }

  async #round(): Promise<void> {
    if (this.#isClosed) return;
    try {
      const isMore = await this.#exchange();
      this.#status = { ...this.#status, failures: 0, lastError: null };
      this.#scheduleNext(isMore);
    } catch (error) {
      this.#status = { ...this.#status, failures: this.#status.failures + 1, lastError: String(error) };
      this.#scheduleNext(false);
    }
  }

  #scheduleNext(isMore: boolean): void {
    const pace = { failures: this.#status.failures, isMore, intervalMs: this.#intervalMs };
    this.#schedule(delayAfter(pace, this.#options.random()));
  }

  /** @returns whether there is more to upload */
  async #exchange(): Promise<boolean> {
    const shared = await this.#readShared();
    // Two calls, so that no record, whatever the service makes of it, keeps a revocation from arriving.
    await this.#fetchGrants();
    await this.#writeShared(shared);
    await this.#beforeUpload();
    return this.#upload();
  }

  async #beforeUpload(): Promise<void> {
    await this.#options.beforeUpload?.().catch(() => {});
  }

  /** Before the service is asked, so that what other guards have heard arrives also while it is down. */
  async #readShared(): Promise<readonly string[]> {
    const tokens = await (this.#options.redis?.read() ?? Promise.resolve([])).catch(() => []);
    await this.#options.grants.offer({ unverifiedGrants: tokens });
    return tokens;
  }

  async #fetchGrants(): Promise<void> {
    const { journal, grants, report, clock, onCommand, onSynced } = this.#options;
    const { unsynced, coalescedDenies } = journal.counts;
    const circuit = create(CircuitReportSchema, {
      ...report(),
      unsyncedRecords: BigInt(unsynced),
      coalescedDenies: BigInt(coalescedDenies),
    });
    this.#isKnown = false;
    const answer = await this.#ask({ journalId: journal.id, circuit });
    this.#isKnown = true;
    const { unverifiedGrants, grantKeys } = answer;
    const serviceTime = answer.serviceTime === undefined ? 0 : microsOf(answer.serviceTime);
    await grants.offer({ fromService: true, unverifiedGrants, grantKeys, serviceTime });
    await onCommand?.(commandOf(answer));
    this.#status = { ...this.#status, syncedAt: clock.now() };
    onSynced?.();
  }

  async #writeShared(present: readonly string[]): Promise<void> {
    const { newest } = this.#options.grants;
    if (newest !== null && !present.includes(newest.token)) await this.#options.redis?.write(newest).catch(() => {});
  }

  async #upload(): Promise<boolean> {
    const { journal } = this.#options;
    const entries = upToBytes(await journal.pending(MAX_RECORDS), MAX_RECORD_BYTES);
    const [first] = entries;
    if (first === undefined) return false;
    const records = entries.map(({ sequence, ...entry }) => ({ ...entry, sequence: BigInt(sequence) }));
    failpoint("uploading");
    const answer = await this.#ask({ journalId: first.journalId, records });
    // A crash here means that they are sent again, and the service then knows them by their hashes.
    failpoint("uploaded");
    await journal.acknowledge(answer.recordedHashes, answer.refusedRecords);
    const recorded = new Set(answer.recordedHashes.map(hex));
    return entries.some(({ hash }) => recorded.has(hex(hash))) && journal.counts.unsynced > 0;
  }

  /** One call uploads of one journal: what a dead process left comes before this one's own. */
  async #uploadRest(): Promise<void> {
    const { clock } = this.#options;
    const until = clock.monotonic() + TIMEOUT_MS;
    while ((await this.#upload()) && clock.monotonic() < until);
  }

  #ask(request: MessageInitShape<typeof SyncGuardRequestSchema>): Promise<SyncGuardResponse> {
    return this.#options.exchange(create(SyncGuardRequestSchema, request), TIMEOUT_MS);
  }
}

/** How far a round went, and so when the next one is due. */
interface Pace {
  /** Rounds that have failed in a row. */
  readonly failures: number;
  /** Whether there is more to upload. */
  readonly isMore: boolean;
  readonly intervalMs: number;
}

/**
 * Milliseconds to the next round, spread by `roll` (0 to 1), so that guards that failed together do not come back together.
 * After a first failure soon, for it may have been an accident: a grant then still arrives within 10 s. After more of them at
 * the usual pace. And a guard that comes back with a day's records leaves room for others between its uploads.
 */
export function delayAfter({ failures, isMore, intervalMs }: Pace, roll: number): number {
  const delayMs = isMore ? intervalMs / 25 : failures === 1 ? intervalMs / 10 : intervalMs;
  return delayMs * (0.8 + 0.4 * roll);
}

/** The first of `entries`, at least one, whose bodies fit into `maxBytes`. */
function upToBytes(entries: readonly JournalEntry[], maxBytes: number): readonly JournalEntry[] {
  let bytes = 0;
  const end = entries.findIndex((entry) => (bytes += entry.body.length) > maxBytes);
  return end < 0 ? entries : entries.slice(0, Math.max(1, end));
}

function commandOf({ circuitCommand }: SyncGuardResponse): CircuitCommand | null {
  if (circuitCommand === undefined) return null;
  const { epoch, open, expiresAt } = circuitCommand;
  return { epoch: Number(epoch), open, expiresAt: expiresAt === undefined ? null : microsOf(expiresAt) };
}

/** Not a safe integer if it is too far from now, and then the keeper does not look at it. */
function microsOf({ seconds, nanos }: Timestamp): Micros {
  return Number(seconds) * 1_000_000 + Math.floor(nanos / 1000);
}
