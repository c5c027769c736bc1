import { setTimeout as sleep } from "node:timers/promises";
import type { Micros } from "../core/clock.ts";
import { backoffMs } from "./backoff.ts";
import { bodyOf, type Source } from "./message.ts";
import { NotDeliveredError } from "./send.ts";
import { signedHeaders } from "./signature.ts";

/** A message that this process alone tries, until its lease ends. */
export interface Leased {
  readonly sequence: number;
  readonly type: string;
  readonly source: "event" | "decision";
  readonly sourceId: string;
  readonly recordedAt: Micros;
  /** This attempt's number, from 1. It is a fencing token: a later attempt means that another replica has the message. */
  readonly attempt: number;
  /** How long ago it was made. */
  readonly ageMs: number;
}

/** Messages that wait. All methods but `lease` change nothing if another replica has leased the message since. */
export interface Outbox {
  /** Takes up to `limit` messages that are due, no two with the same subject, for `leaseMs`. */
  lease(limit: number, leaseMs: number): Promise<Leased[]>;
  /** The row that a message is about; null if it is gone. */
  source(message: Leased): Promise<Source | null>;
  /** Removes a message that was taken. */
  delivered(message: Leased): Promise<void>;
  /** Has it tried again in `waitMs`. */
  postpone(message: Leased, waitMs: number, problem: string): Promise<void>;
  /** Keeps it for operators to see, and tries it no more. */
  bury(message: Leased, problem: string): Promise<void>;
}

export interface DelivererPorts {
  readonly outbox: Outbox;
  /** The secrets to sign with now. */
  readonly secrets: () => Promise<readonly Uint8Array[]>;
  /** @throws NotDeliveredError */
  readonly post: (headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal) => Promise<void>;
  /** Where operators find the dashboard, or null. */
  readonly publicUrl: string | null;
  readonly now: () => Micros;
  /** 0 to 1, by chance. */
  readonly chance: () => number;
  readonly observe: DeliveryObserver;
}

export interface DeliveryObserver {
  delivered(message: Leased): void;
  failed(message: Leased, problem: string): void;
  buried(message: Leased, problem: string): void;
  /** The outbox or the secrets could not be read; it goes on. */
  broken(error: unknown): void;
}

export interface DelivererLimits {
  /** Messages under way at once. */
  readonly atOnce: number;
  /** How long an attempt may take, with all its answer. */
  readonly attemptMs: number;
  /** How long a message is ours. Longer than an attempt and what is written after it, or two would try it at once. */
  readonly leaseMs: number;
  /** How often to look for messages when there are none. */
  readonly idleMs: number;
}

export const DELIVERER_LIMITS: DelivererLimits = { atOnce: 8, attemptMs: 10_000, leaseMs: 20_000, idleMs: 1_000 };

/**
 * Delivers what the outbox holds to a webhook, at least once: a message is removed after it was taken, so after a crash in between
 * it is delivered again, under the same id. Any number of replicas may run one.
 */
export class Deliverer {
  readonly #ports: DelivererPorts;
  readonly #limits: DelivererLimits;
  readonly #stop = new AbortController();
  /** Whether the receiver took nothing when it was last asked: then it is asked for one message at a time. */
  #doubtful = false;
  #running: Promise<void> = Promise.resolve();

  constructor(ports: DelivererPorts, limits = DELIVERER_LIMITS) {
    this.#ports = ports;
    this.#limits = limits;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Breaks off what is under way, which stays in the outbox. */
  async close(): Promise<void> {
    this.#stop.abort(new Error("the service is stopping"));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const worked = await this.#round().catch((error: unknown) => {
        this.#ports.observe.broken(error);
        return false;
      });
      if (!worked) await sleep(this.#limits.idleMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Whether there was anything to do. */
  async #round(): Promise<boolean> {
    const { outbox, secrets } = this.#ports;
    // Before anything is leased: without secrets no attempt is spent.
    const signWith = await secrets();
    const leased = await outbox.lease(this.#doubtful ? 1 : this.#limits.atOnce, this.#limits.leaseMs);
    if (leased.length === 0) return false;
    const outcomes = await Promise.allSettled(leased.map((message) => this.#attempt(message, signWith)));
    this.#doubtful = !outcomes.some((outcome) => outcome.status === "fulfilled" && outcome.value);
    const broken = outcomes.find((outcome) => outcome.status === "rejected");
    if (broken !== undefined) throw broken.reason;
    return true;
  }

  /** Whether the receiver took it. */
  async #attempt(message: Leased, secrets: readonly Uint8Array[]): Promise<boolean> {
    const { outbox, publicUrl, observe } = this.#ports;
    const source = await outbox.source(message);
    if (source === null) {
      await this.#bury(message, "the row of the message is gone");
      return true;
    }
    try {
      await this.#send(message, bodyOf(message.type, source, publicUrl), secrets);
    } catch (error) {
      if (!(error instanceof NotDeliveredError)) throw error;
      await this.#fail(message, error.message);
      return false;
    }
    // After a crash here the message is delivered again, once the lease has ended.
    await outbox.delivered(message);
    observe.delivered(message);
    return true;
  }

  async #send(message: Leased, body: string, secrets: readonly Uint8Array[]): Promise<void> {
    const timestamp = Math.floor(this.#ports.now() / 1_000_000);
    const headers = signedHeaders(secrets, messageId(message), timestamp, body);
    const late = new AbortController();
    const seconds = this.#limits.attemptMs / 1000;
    const timer = setTimeout(() => late.abort(new Error(`no answer within ${seconds} s`)), this.#limits.attemptMs);
    try {
      await this.#ports.post(headers, body, AbortSignal.any([late.signal, this.#stop.signal]));
    } finally {
      clearTimeout(timer);
    }
  }

  async #fail(message: Leased, problem: string): Promise<void> {
    const { outbox, chance, observe } = this.#ports;
    // The attempt was broken off by us: the next process may try at once.
    const waitMs = this.#stop.signal.aborted ? 0 : backoffMs(message.attempt, message.ageMs, chance());
    if (waitMs === null) return await this.#bury(message, problem);
    await outbox.postpone(message, waitMs, problem);
    observe.failed(message, problem);
  }

  async #bury(message: Leased, problem: string): Promise<void> {
    await this.#ports.outbox.bury(message, problem);
    this.#ports.observe.buried(message, problem);
  }
}

/** The same for each attempt, so that a receiver knows a message that it has seen. */
export function messageId({ sourceId }: Pick<Leased, "sourceId">): string {
  return `msg_${sourceId}`;
}
