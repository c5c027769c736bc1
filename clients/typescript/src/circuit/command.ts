import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Breaker } from "./breaker.ts";
import type { Clock, Micros } from "@datacrawl/core/clock";
import { makeDirectory, replaceFile } from "@datacrawl/core/durable";
import { type Checked, either, isBoolean, isCount, isInteger, isNull, object } from "@datacrawl/core/shape";

/** An operator's command about the circuit. It can deny, and allows nothing. */
export interface CircuitCommand {
  readonly epoch: number;
  /** Hold the circuit open; else end that, and probe with the next call. */
  readonly open: boolean;
  /** When holding it open ends by itself, by the service's clock; null if it lasts until another command. */
  readonly expiresAt: Micros | null;
}

interface Options {
  /** The journal's directory. Without one, a command ends with the process. */
  readonly dir: string | null;
  readonly agentId: string;
  readonly breaker: Pick<Breaker, "force" | "reset">;
  readonly clock: Clock;
}

/** Applies the operators' last command to an agent's processes, also through restarts while the service is down. */
export async function openCircuitCommands(options: Options): Promise<CircuitCommands> {
  const commands = new CircuitCommands(options);
  await commands.recall();
  return commands;
}

const FILE = "circuit.json";
const isKept = object({ epoch: isCount, open: isBoolean, expires_at_us: either(isInteger, isNull) });
/** Node's timers hold no more than 24 days. */
const LONGEST_TIMER_MS = 86_400_000;

export class CircuitCommands {
  /** Why the last command is not on disk, or null. */
  problem: string | null = null;
  readonly #dir: string | null;
  readonly #breaker: Options["breaker"];
  readonly #clock: Clock;
  #last: CircuitCommand | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor({ dir, agentId, breaker, clock }: Options) {
    this.#dir = dir === null ? null : join(dir, agentId);
    this.#breaker = breaker;
    this.#clock = clock;
  }

  /** Restores the command that a process of this agent received last. A reset has had its effect. */
  async recall(): Promise<void> {
    if (this.#dir === null) return;
    try {
      const kept: unknown = JSON.parse(await readFile(join(this.#dir, FILE), "utf8"));
      if (!isKept(kept)) throw new SyntaxError("not a circuit command");
      this.#last = { epoch: kept.epoch, open: kept.open, expiresAt: kept.expires_at_us };
      this.#hold();
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
      this.problem = `cannot read ${FILE}: ${error instanceof Error && "code" in error ? String(error) : "it is malformed"}`;
    }
  }

  /** Follows `command` if it is newer than the last. In force when it resolves. Never rejects. */
  async take(command: CircuitCommand | null): Promise<void> {
    if (command === null || !isSound(command) || command.epoch <= (this.#last?.epoch ?? 0)) return;
    this.#last = command;
    this.#hold();
    if (!command.open) this.#breaker.reset();
    // In force already: it does not wait for a disk.
    await this.#keep(command);
  }

  /** Holds the circuit open for as long as the command says. */
  #hold(): void {
    clearTimeout(this.#timer);
    const leftMs = this.#leftMs();
    this.#breaker.force(leftMs > 0);
    if (leftMs > 0 && leftMs < Number.POSITIVE_INFINITY)
      this.#timer = setTimeout(() => this.#hold(), Math.min(leftMs, LONGEST_TIMER_MS)).unref();
  }

  #leftMs(): number {
    if (this.#last === null || !this.#last.open) return 0;
    return this.#last.expiresAt === null ? Number.POSITIVE_INFINITY : (this.#last.expiresAt - this.#clock.now()) / 1000;
  }

  async #keep({ epoch, open, expiresAt }: CircuitCommand): Promise<void> {
    if (this.#dir === null) return;
    try {
      await makeDirectory(this.#dir);
      const kept: Checked<typeof isKept> = { epoch, open, expires_at_us: expiresAt };
      await replaceFile(this.#dir, FILE, `${JSON.stringify(kept)}\n`);
      this.problem = null;
    } catch (error) {
      this.problem = `cannot store the circuit command: ${String(error)}`;
    }
  }
}

function isSound({ epoch, expiresAt }: CircuitCommand): boolean {
  return Number.isSafeInteger(epoch) && epoch > 0 && (expiresAt === null || Number.isSafeInteger(expiresAt));
}
