import type { Clock } from "@datacrawl/core/clock";
import { type BreakerConfig, type Timing, timing } from "./config.ts";
import type { FleetView, Member, SharedCircuit } from "./fleet.ts";
import { RedisLink, Script } from "./redis-link.ts";
import { argumentsOf, EXCHANGE, keysOf, parseView } from "./redis-script.ts";

/** How long the last answer counts. */
const FRESH_MS = 3_000;
/** How long taking leave may take. */
const LEAVE_MS = 200;

const EXCHANGE_SCRIPT = new Script(EXCHANGE);

export interface SharedCircuitOptions {
  /** One `redis://` or `rediss://` URL of a Redis 7 or later, or several of one Cluster, separated by commas. */
  readonly redisUrl: string;
  readonly service: string;
  readonly agentId: string;
  readonly config: BreakerConfig;
  readonly clock: Clock;
  /** Uniform in [0, 1); must differ between processes, which are known to one another by it. */
  readonly random: () => number;
}

/**
 * The circuit that an agent's processes share through Redis. Connects in the background; whatever Redis does or fails to
 * do, the breaker only ever hears "nothing known" or a view with values in range.
 *
 * @throws RangeError if the configuration is no configuration
 */
export function openSharedCircuit(options: SharedCircuitOptions): SharedCircuit {
  return new RedisCircuit(options);
}

class RedisCircuit implements SharedCircuit {
  readonly #id: string;
  readonly #keys: readonly [string, string, string];
  readonly #timing: Timing;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #link: RedisLink;
  #member: Member | null = null;
  #view: FleetView | null = null;
  #heardAt = Number.NEGATIVE_INFINITY;
  #next: NodeJS.Timeout | undefined;
  #exchanging = false;
  #again = false;
  #closed = false;

  constructor({ redisUrl, service, agentId, config, clock, random }: SharedCircuitOptions) {
    this.#id = identity(random);
    this.#keys = keysOf(service, agentId);
    this.#timing = timing(config);
    this.#clock = clock;
    this.#random = random;
    this.#link = new RedisLink(redisUrl, this.#keys[0], random, () => this.wake());
  }

  get problem(): string | null {
    return this.#link.problem;
  }

  attach(member: Member): void {
    this.#member = member;
    this.wake();
  }

  view(now: number): FleetView | null {
    return now - this.#heardAt < FRESH_MS ? this.#view : null;
  }

  /** At most one exchange is under way, and at most one more is asked for: whatever Redis does, nothing piles up. */
  wake(): void {
    if (this.#exchanging) this.#again = true;
    else this.#schedule(0);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#next);
    this.#view = null;
    if (this.#link.ready) await Promise.race([this.#leave(), elapsed(LEAVE_MS)]);
    this.#link.close();
  }

  #schedule(delay: number): void {
    clearTimeout(this.#next);
    if (this.#closed || this.#member === null) return;
    const member = this.#member;
    this.#next = setTimeout(() => void this.#exchange(member), delay).unref();
  }

  async #exchange(member: Member): Promise<void> {
    this.#exchanging = true;
    this.#again = false;
    const delay = this.#link.ready ? await this.#ask(member) : this.#timing.pollMs;
    this.#exchanging = false;
    this.#schedule(this.#again ? 0 : delay);
  }

  /** @returns how long until the next exchange */
  async #ask(member: Member): Promise<number> {
    const sentAt = this.#clock.monotonic();
    const standing = member.standing();
    const words = argumentsOf(this.#id, standing, this.#timing, this.#random());
    try {
      this.#hear(parseView(await this.#link.run(EXCHANGE_SCRIPT, this.#keys, words), this.#timing, sentAt), sentAt);
      member.delivered(standing);
    } catch {
      // The view grows old, and then the local circuit is on its own. The link knows the problem.
    }
    member.changed();
    return this.#pause(standing.dueIn);
  }

  #hear(view: FleetView | null, sentAt: number): void {
    if (this.#closed) return;
    this.#view = view;
    this.#heardAt = sentAt;
  }

  /** A jittered poll; sooner if a probe is due before that. */
  #pause(dueIn: number): number {
    const poll = this.#timing.pollMs * (0.8 + 0.4 * this.#random());
    const fleetDueIn = this.#view?.open === true ? this.#view.probeAt - this.#clock.monotonic() : 0;
    const due = Math.max(dueIn, fleetDueIn);
    return due > 0 ? Math.min(poll, due + 1 + (this.#timing.pollMs / 20) * this.#random()) : poll;
  }

  async #leave(): Promise<void> {
    const words = argumentsOf(this.#id, null, this.#timing, 0);
    await this.#link.run(EXCHANGE_SCRIPT, this.#keys, words).catch(() => null);
  }
}

/** 96 random bits. */
function identity(random: () => number): string {
  const part = (): string =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  return part() + part() + part();
}

function elapsed(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
