import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import { Fault } from "../core/fault.ts";

/** What a guess costs: some 32 MiB and a quarter of a second (OWASP's recommendation). Stored hashes keep their own. */
const COST = { N: 2 ** 15, r: 8, p: 3 } as const;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** The memory that a stored cost may ask for. */
const MAX_MEMORY = 256 * 1024 * 1024;

/** Hashes at a time: the threads are shared with the rest of the service. */
const RUNNING = 2;
/** How many may wait for one of these; more are refused at once. */
const WAITING = { familiar: 32, stranger: 8 } as const;

/**
 * How long strangers wait before they are refused, in milliseconds. Who waits longer may not be answered before the deadline of the
 * call, and would have taken the turn of somebody who is.
 */
const STRANGERS_WAIT_MS = 2000;

const MIN_CHARACTERS = 12;
const MAX_CHARACTERS = 256;

/** What a new password must be, or null if it is that. */
export function passwordProblem(password: string): string | null {
  const length = [...password].length;
  if (length < MIN_CHARACTERS) return `must have at least ${MIN_CHARACTERS} characters`;
  if (length > MAX_CHARACTERS) return `must have at most ${MAX_CHARACTERS} characters`;
  return password.isWellFormed() && !/[\u0000-\u001f]/.test(password)
    ? null
    : "must be text without control characters";
}

/** Who has to wait for a turn. Who is familiar goes first, so that a flood of strangers does not keep them waiting. */
export interface Turn {
  readonly who: keyof typeof WAITING;
  /** Aborted when there is nobody left to answer: the turn goes to the next. */
  readonly signal?: AbortSignal | undefined;
}

/** Stores passwords as `scrypt$N$r$p$salt$hash` (base64url), and checks them, a few at a time. */
export class Passwords {
  readonly #strangersWaitMs: number;
  #running = 0;
  readonly #waiting: Record<Turn["who"], (() => void)[]> = { familiar: [], stranger: [] };
  readonly #decoy = format(COST, randomBytes(SALT_BYTES), randomBytes(HASH_BYTES));

  constructor(strangersWaitMs: number = STRANGERS_WAIT_MS) {
    this.#strangersWaitMs = strangersWaitMs;
  }

  /** @throws Fault QUEUE_FULL */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    return format(COST, salt, await this.#derive(password, salt, COST, HASH_BYTES, { who: "familiar" }));
  }

  /**
   * Whether `password` is the one that `stored` was made from. Takes as long where there is none (null) to compare with.
   *
   * @throws Fault QUEUE_FULL, or CANCELED with the turn's signal
   */
  async matches(password: string, stored: string | null, turn: Turn = { who: "stranger" }): Promise<boolean> {
    const { cost, salt, hash } = parse(stored ?? this.#decoy);
    // Longer ones are never right, and must not cost more.
    const bounded = password.slice(0, 2 * MAX_CHARACTERS);
    const derived = await this.#derive(bounded, salt, cost, hash.length, turn);
    return timingSafeEqual(derived, hash) && stored !== null && bounded === password;
  }

  async #derive(password: string, salt: Buffer, cost: Cost, length: number, turn: Turn): Promise<Buffer> {
    await this.#begin(turn);
    try {
      return await scryptAsync(password.normalize("NFC"), salt, length, { ...cost, maxmem: MAX_MEMORY });
    } finally {
      this.#end();
    }
  }

  async #begin({ who, signal }: Turn): Promise<void> {
    if (signal?.aborted) throw canceled();
    if (this.#running < RUNNING) {
      this.#running++;
      return;
    }
    const waiting = this.#waiting[who];
    if (waiting.length >= WAITING[who]) throw queueFull();
    const { promise: begun, resolve: begin, reject } = Promise.withResolvers<void>();
    waiting.push(begin);
    const giveUp = (fault: Fault): void => {
      const index = waiting.indexOf(begin);
      // Its turn has come already.
      if (index < 0) return;
      waiting.splice(index, 1);
      reject(fault);
    };
    const gone = (): void => giveUp(canceled());
    signal?.addEventListener("abort", gone, { once: true });
    const timer = who === "stranger" ? setTimeout(() => giveUp(queueFull()), this.#strangersWaitMs) : undefined;
    try {
      // Its place among those that run is the one that has ended: nobody comes between.
      await begun;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", gone);
    }
  }

  #end(): void {
    const next = this.#waiting.familiar.shift() ?? this.#waiting.stranger.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}

function queueFull(): Fault {
  return new Fault("QUEUE_FULL", "Too many passwords are being checked.", { retryAfterMs: 2000 });
}

function canceled(): Fault {
  return new Fault("CANCELED", "The caller disconnected before its password was checked.");
}

interface Cost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

function format({ N, r, p }: Cost, salt: Buffer, hash: Buffer): string {
  return ["scrypt", N, r, p, salt.toString("base64url"), hash.toString("base64url")].join("$");
}

function parse(stored: string): { cost: Cost; salt: Buffer; hash: Buffer } {
  const match = /^scrypt\$(\d+)\$(\d+)\$(\d+)\$([\w-]+)\$([\w-]+)$/.exec(stored);
  if (match === null) throw new Error("A stored password hash has a format that this version does not know.");
  const [N, r, p] = match.slice(1, 4).map(Number) as [number, number, number];
  const [salt, hash] = match.slice(4).map((part) => Buffer.from(part, "base64url")) as [Buffer, Buffer];
  return { cost: { N, r, p }, salt, hash };
}

function scryptAsync(password: string, salt: Buffer, length: number, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, options, (error, derived) => (error === null ? resolve(derived) : reject(error)));
  });
}
