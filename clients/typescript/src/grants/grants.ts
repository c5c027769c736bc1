import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AGENT_ID } from "@datacrawl/core/names";
import { type GrantClaims, verifyBypassOrder } from "@datacrawl/core/grant";
import { fingerprint, type KeyLink } from "@datacrawl/core/key-chain";
import type { Clock, Micros } from "@datacrawl/core/clock";
import { makeDirectory } from "@datacrawl/core/durable";
import { type FileLock, tryLock } from "@datacrawl/core/file-lock";
import { grantFor, type GrantState, NOTHING_KNOWN, pinnedKey, withKeys, withOrder } from "./state.ts";
import { type GrantFiles, readGrantFiles, writeGrantFiles } from "./files.ts";

/** What a guard is offered. Tokens may come from anywhere; only the service's own answer pins keys and sets the clock. */
export type GrantOffer =
  | { readonly unverifiedGrants: readonly string[] }
  | {
      readonly fromService: true;
      readonly unverifiedGrants: readonly string[];
      /** Oldest first. */
      readonly grantKeys: readonly KeyLink[];
      readonly serviceTime: Micros;
    };

/** What a guard knows of its agent's bypass grant. */
export interface GrantStatus {
  /** Fingerprint of the pinned grant key; null before the first contact with the service. */
  readonly pinnedKey: string | null;
  /** The highest epoch seen; 0 if none. */
  readonly epoch: number;
  /** The newest grant, whether or not it is valid now; null if there is none or it was revoked. */
  readonly grant: GrantClaims | null;
  /** Problems of the last token that was received, or of the files. */
  readonly problems: readonly string[];
}

export interface GrantKeeperOptions {
  /**
   * The journal's directory: agents and processes may share it, services may not. Without one, what is known ends with the
   * process.
   */
  readonly dir: string | null;
  readonly agentId: string;
  readonly clock: Clock;
}

/** @throws if the directory cannot be made, or `agentId` is malformed */
export async function openGrantKeeper({ dir, agentId, clock }: GrantKeeperOptions): Promise<GrantKeeper> {
  if (!AGENT_ID.test(agentId)) throw new RangeError(`not an agent id: ${JSON.stringify(agentId)}`);
  const ownDir = dir === null ? null : join(dir, agentId);
  if (ownDir !== null) await makeDirectory(ownDir);
  const keeper = new GrantKeeper(ownDir, agentId, clock);
  await keeper.offer({ unverifiedGrants: [] });
  return keeper;
}

/** The service sends one order for an agent; a few more do no harm. */
const MAX_TOKENS = 8;
/** How old the time on disk may be while nothing else changes. */
const FLOOR_STEP: Micros = 30_000_000;
const LOCK_PATIENCE_MS = 1000;

/** Keeps an agent's circuit-bypass grant. What it protects against, and what it does not, is in docs/grants.md. */
export class GrantKeeper {
  readonly #dir: string | null;
  readonly #agentId: string;
  readonly #clock: Clock;
  #state: GrantState = NOTHING_KNOWN;
  /** A time that the service's clock had reached when the monotonic clock showed `at`; 0 if none is known. */
  #floor: { readonly time: Micros; readonly at: number };
  #problems: string[] = [];
  #turn: Promise<void> = Promise.resolve();

  constructor(dir: string | null, agentId: string, clock: Clock) {
    this.#dir = dir;
    this.#agentId = agentId;
    this.#clock = clock;
    this.#floor = { time: 0, at: clock.monotonic() };
  }

  /** Synchronous. The grant that covers this agent and tool now, or why none does. */
  lookup(tool: string): { readonly grant: GrantClaims } | { readonly problem: string } {
    return grantFor(this.#state, tool, Math.max(this.#clock.now(), this.#floorNow()));
  }

  /** The newest order as it was signed, for others to find; null if none. */
  get newest(): { readonly token: string; readonly epoch: number } | null {
    const { newest, epoch } = this.#state;
    return newest && { token: newest.token, epoch };
  }

  get status(): GrantStatus {
    const { newest, epoch } = this.#state;
    const pinned = pinnedKey(this.#state);
    return {
      pinnedKey: pinned && fingerprint(pinned),
      epoch,
      grant: newest?.order.kind === "grant" ? newest.order.claims : null,
      problems: this.#problems,
    };
  }

  /**
   * Verifies, pins, follows the highest epoch, and writes it to disk; takes what other processes have written. In force when
   * it resolves, also if it could not be written; the status then says so. Never rejects.
   */
  offer(offer: GrantOffer): Promise<void> {
    this.#turn = this.#turn.then(() => this.#take(offer));
    return this.#turn;
  }

  async #take(offer: GrantOffer): Promise<void> {
    const problems: string[] = [];
    try {
      const fromService = "fromService" in offer;
      if (fromService) this.#hearService(offer.grantKeys, offer.serviceTime, problems);
      this.#hearOrders(offer.unverifiedGrants, problems);
      // In force already: a revocation does not wait for a disk.
      if (this.#dir !== null) await this.#exchangeWithDisk(this.#dir, fromService, problems);
    } catch (error) {
      problems.push(`cannot keep the grant: ${String(error)}`);
    }
    this.#problems = problems;
  }

  #hearService(grantKeys: readonly KeyLink[], serviceTime: Micros, problems: string[]): void {
    if (Number.isSafeInteger(serviceTime)) this.#raiseFloor(serviceTime);
    const { state, problem } = withKeys(this.#state, grantKeys);
    if (problem !== null) problems.push(problem);
    this.#state = { ...state, isContested: problem !== null };
  }

  #hearOrders(unverifiedGrants: readonly string[], problems: string[]): void {
    const pinned = pinnedKey(this.#state);
    if (pinned === null) return;
    for (const token of unverifiedGrants.slice(0, MAX_TOKENS)) {
      const order = verifyBypassOrder(token, [pinned]);
      if ("problem" in order) problems.push(order.problem);
      else if ((order.kind === "grant" ? order.claims : order).agentId !== this.#agentId) {
        problems.push("the token is for another agent");
      } else this.#state = withOrder(this.#state, token, order);
    }
  }

  /** Takes what is newer there, and writes what is newer here. */
  async #exchangeWithDisk(dir: string, fromService: boolean, problems: string[]): Promise<void> {
    const lock = await this.#lock(dir);
    try {
      const files = await readGrantFiles(dir);
      const onDisk = files !== null && "problem" in files ? null : files;
      if (files !== null && "problem" in files) problems.push(files.problem);
      if (onDisk !== null) this.#hearDisk(onDisk, fromService, problems);
      const known = this.#known();
      if (needsWriting(known, onDisk)) await writeGrantFiles(dir, known);
    } finally {
      lock.release();
    }
  }

  #hearDisk(files: GrantFiles, fromService: boolean, problems: string[]): void {
    this.#raiseFloor(files.clockFloor);
    if (files.keys.length > 0) {
      const { state, problem } = withKeys(this.#state, files.keys);
      if (problem !== null) problems.push(`grants.json: ${problem}`);
      this.#state = state;
    }
    const isContested = fromService ? this.#state.isContested : this.#state.isContested || files.isContested;
    const newest = this.#state.epoch < files.epoch ? null : this.#state.newest;
    this.#state = { ...this.#state, isContested, newest, epoch: Math.max(this.#state.epoch, files.epoch) };
    if (files.token) this.#hearOrders([files.token], problems);
  }

  #known(): GrantFiles {
    const { keys, isContested, epoch, newest } = this.#state;
    return { keys, isContested, epoch, clockFloor: this.#floorNow(), token: newest?.token ?? null };
  }

  async #lock(dir: string): Promise<FileLock> {
    const until = this.#clock.monotonic() + LOCK_PATIENCE_MS;
    for (;;) {
      const lock = tryLock(join(dir, "grants.lock"));
      if (lock !== null) return lock;
      if (this.#clock.monotonic() >= until) throw new Error("another process holds grants.lock");
      await sleep(10);
    }
  }

  /** INVARIANT: never more than the service's clock, however the wall clock is set, so that it may be kept for good. */
  #floorNow(): Micros {
    const { time, at } = this.#floor;
    return time === 0 ? 0 : time + Math.floor((this.#clock.monotonic() - at) * 1000);
  }

  #raiseFloor(time: Micros): void {
    this.#floor = { time: Math.max(time, this.#floorNow()), at: this.#clock.monotonic() };
  }
}

function needsWriting(known: GrantFiles, onDisk: GrantFiles | null): boolean {
  if (onDisk === null) return known.keys.length > 0;
  return (
    known.clockFloor >= onDisk.clockFloor + FLOOR_STEP ||
    known.epoch !== onDisk.epoch ||
    known.isContested !== onDisk.isContested ||
    (known.token ?? "") !== (onDisk.token ?? "") ||
    !isSameChain(known.keys, onDisk.keys)
  );
}

function isSameChain(left: readonly KeyLink[], right: readonly KeyLink[]): boolean {
  return publicKeys(left).equals(publicKeys(right));
}

function publicKeys(chain: readonly KeyLink[]): Buffer {
  return Buffer.concat(chain.map(({ publicKey }) => publicKey));
}
