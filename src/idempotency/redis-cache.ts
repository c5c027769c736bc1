import { Cluster, type Redis } from "ioredis";
import type { Micros } from "../core/clock.ts";
import { cacheName, type DigestKeys } from "./key.ts";
import type { Claim, ClaimCache, ClaimSlot } from "./ledger.ts";
import { openClaim, sealClaim } from "./sealed-claim.ts";

/** Commands that may await an answer; beyond it claims are neither looked up nor remembered. */
const MAX_IN_FLIGHT = 16;
/** Claims in one command. */
const MAX_BATCH = 256;
/** How long Redis is left alone after it failed. */
const SKIP_MS = 500;

const REMEMBER = {
  name: "datacrawlRemember",
  lua: `for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[2 * i - 1], 'PX', ARGV[2 * i]) end`,
} as const;

interface Place {
  readonly name: string;
  readonly agentId: string;
  readonly idempotencyKey: string;
}

interface Lookup {
  readonly place: Place;
  readonly resolve: (claim: Claim | null) => void;
}

interface Note {
  readonly place: Place;
  readonly value: Buffer;
  readonly ttlMs: number;
}

/**
 * Claims remembered in Redis, shared by all replicas. Everything that one tick asks for goes out as one command, since a
 * command costs more than the claims in it. When Redis fails it is skipped for a while: the database has every answer.
 */
export class RedisClaimCache implements ClaimCache {
  readonly #redis: Redis | Cluster;
  readonly #keys: DigestKeys;
  readonly #now: () => Micros;
  readonly #monotonic: () => number;
  #lookups: Lookup[] = [];
  #notes: Note[] = [];
  #inFlight = 0;
  #skipUntil = 0;

  /** @param now the store's time, as good as this process knows it */
  constructor(redis: Redis | Cluster, keys: DigestKeys, now: () => Micros, monotonic: () => number) {
    this.#redis = redis;
    this.#keys = keys;
    this.#now = now;
    this.#monotonic = monotonic;
    redis.defineCommand(REMEMBER.name, { lua: REMEMBER.lua });
  }

  at(agentId: string, idempotencyKey: string): ClaimSlot {
    const place = { name: this.#nameOf(agentId, idempotencyKey), agentId, idempotencyKey };
    return { get: () => this.#get(place), set: (claim) => this.#set(place, claim) };
  }

  async close(): Promise<void> {
    this.#redis.disconnect();
  }

  #get(place: Place): Promise<Claim | null> {
    if (this.#skipped()) return Promise.resolve(null);
    return new Promise((resolve) => {
      if (this.#lookups.push({ place, resolve }) === 1) setImmediate(() => this.#lookUpAll());
    });
  }

  #set(place: Place, claim: Claim): void {
    const ttlMs = Math.floor((claim.expiresAt - this.#now()) / 1000);
    if (ttlMs <= 0 || this.#skipped()) return;
    this.#notes.push({ place, value: sealClaim(this.#keys, place.agentId, place.idempotencyKey, claim), ttlMs });
    if (this.#notes.length === 1) afterAnswers(() => this.#rememberAll());
  }

  #skipped(): boolean {
    return this.#inFlight >= MAX_IN_FLIGHT || this.#monotonic() < this.#skipUntil;
  }

  /** The first two digits are a hash tag: names that share it live in one slot of a Cluster, so they may share a command. */
  #nameOf(agentId: string, idempotencyKey: string): string {
    const name = cacheName(this.#keys, agentId, idempotencyKey);
    return `datacrawl:claim:{${name.slice(0, 2)}}:${name}`;
  }

  #lookUpAll(): void {
    const lookups = this.#lookups;
    this.#lookups = [];
    for (const batch of this.#batches(lookups)) void this.#lookUp(batch);
  }

  #rememberAll(): void {
    const notes = this.#notes;
    this.#notes = [];
    for (const batch of this.#batches(notes)) void this.#remember(batch);
  }

  #batches<T extends { readonly place: Place }>(items: readonly T[]): T[][] {
    const groups = new Map<string, T[]>();
    for (const item of items) {
      const tag = this.#redis instanceof Cluster ? item.place.name.slice(0, "datacrawl:claim:{00}".length) : "";
      const group = groups.get(tag);
      if (group === undefined) groups.set(tag, [item]);
      else group.push(item);
    }
    return [...groups.values()].flatMap((group) =>
      Array.from({ length: Math.ceil(group.length / MAX_BATCH) }, (_, index) =>
        group.slice(index * MAX_BATCH, (index + 1) * MAX_BATCH),
      ),
    );
  }

  async #lookUp(batch: readonly Lookup[]): Promise<void> {
    const values = await this.#run(() => this.#redis.mgetBuffer(batch.map(({ place }) => place.name)));
    batch.forEach(({ place, resolve }, index) => {
      const untrustedValue = values?.[index];
      resolve(
        untrustedValue instanceof Buffer
          ? openClaim(this.#keys, place.agentId, place.idempotencyKey, untrustedValue, this.#now())
          : null,
      );
    });
  }

  async #remember(batch: readonly Note[]): Promise<void> {
    const names = batch.map(({ place }) => place.name);
    const values = batch.flatMap((note) => [note.value, note.ttlMs]);
    const redis = this.#redis as unknown as Record<typeof REMEMBER.name, (...args: unknown[]) => Promise<unknown>>;
    await this.#run(() => redis[REMEMBER.name](names.length, ...names, ...values));
  }

  /** Null if Redis did not answer; then it is skipped for a while. */
  async #run<Result>(command: () => Promise<Result>): Promise<Result | null> {
    if (this.#skipped()) return null;
    this.#inFlight++;
    try {
      return await command();
    } catch {
      this.#skipUntil = this.#monotonic() + SKIP_MS;
      return null;
    } finally {
      this.#inFlight--;
    }
  }
}

/** Runs `work` when the answers that are being sent have gone out: HTTP/2 sends trailers some turns of the event loop after the message. */
function afterAnswers(work: () => void): void {
  setImmediate(() => setImmediate(work));
}
