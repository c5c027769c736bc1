import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import { Fault } from "../fault.ts";

/** What a guess costs: some 32 MiB and a quarter of a second (OWASP's recommendation). Stored hashes keep their own. */
const COST = { N: 2 ** 15, r: 8, p: 3 } as const;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** The memory that a stored cost may ask for. */
const MAX_MEMORY = 256 * 1024 * 1024;

/** Hashes at a time: the threads are shared with the rest of the service. */
const RUNNING = 2;
/** Sign-ins that may wait for one of these; more are refused at once. */
const WAITING = 32;

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

/** Stores passwords as `scrypt$N$r$p$salt$hash` (base64url), and checks them, a few at a time. */
export class Passwords {
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #decoy = format(COST, randomBytes(SALT_BYTES), randomBytes(HASH_BYTES));

  /** @throws Fault QUEUE_FULL */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    return format(COST, salt, await this.#derive(password, salt, COST, HASH_BYTES));
  }

  /**
   * Whether `password` is the one that `stored` was made from. Takes as long where there is none (null) to compare with.
   *
   * @throws Fault QUEUE_FULL
   */
  async matches(password: string, stored: string | null): Promise<boolean> {
    const { cost, salt, hash } = parse(stored ?? this.#decoy);
    // Longer ones are never right, and must not cost more.
    const bounded = password.slice(0, 2 * MAX_CHARACTERS);
    const derived = await this.#derive(bounded, salt, cost, hash.length);
    return timingSafeEqual(derived, hash) && stored !== null && bounded === password;
  }

  async #derive(password: string, salt: Buffer, cost: Cost, length: number): Promise<Buffer> {
    await this.#turn();
    try {
      return await scryptAsync(password.normalize("NFC"), salt, length, { ...cost, maxmem: MAX_MEMORY });
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    if (this.#running >= RUNNING) {
      if (this.#waiting.length >= WAITING) {
        throw new Fault("QUEUE_FULL", "Too many passwords are being checked.", { retryAfterMs: 2000 });
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#running++;
  }
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
  if (match === null) throw new Error("A stored password hash is of no form that this version knows.");
  const [N, r, p] = match.slice(1, 4).map(Number) as [number, number, number];
  const [salt, hash] = match.slice(4).map((part) => Buffer.from(part, "base64url")) as [Buffer, Buffer];
  return { cost: { N, r, p }, salt, hash };
}

function scryptAsync(password: string, salt: Buffer, length: number, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, options, (error, derived) => (error === null ? resolve(derived) : reject(error)));
  });
}
