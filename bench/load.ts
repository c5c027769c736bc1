/**
 * The load generator, a process of its own: `node bench/load.ts SPEC`, where SPEC is a {@link LoadSpec} as JSON. It keeps a
 * fixed number of calls in flight (a closed loop), counts the answers that are what they should be, and prints a
 * {@link LoadResult} as JSON. Anything but the expected answer is a failure: it is reported, and never counted.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Expectation, isExpected } from "./load/answer.ts";
import { LoadConnection } from "./load/connection.ts";
import { unaryFrames } from "./load/frames.ts";
import { cpuSecondsOf } from "./support/procfs.ts";
import { quantile } from "./support/statistics.ts";

export interface LoadSpec {
  /** The connections are spread over them. */
  readonly ports: readonly number[];
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** The request message in base64; its idempotency key, {@link KEY_LENGTH} bytes long, starts at `keyAt`. */
  readonly message: string;
  readonly keyAt: number;
  /** The first {@link KEY_PREFIX_LENGTH} characters of every key. A prefix that no other run had makes every key new. */
  readonly keyPrefix: string;
  /** After how many keys the sequence starts again, more than are in flight; 0: never, every key is new. */
  readonly keyCycle: number;
  readonly expected: Expectation;
  readonly connections: number;
  /** In flight on each connection. */
  readonly streams: number;
  readonly warmupMs: number;
  readonly measureMs: number;
  /** Server-side processes by the name to report them under; each with all its descendants. */
  readonly processes: Readonly<Record<string, number>>;
}

export interface LoadResult {
  /** Expected answers within the measured window. */
  readonly answered: number;
  /** All others, warm-up included. */
  readonly failed: number;
  readonly firstFailure: string | null;
  /** The window's true length. */
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** User and system time within the window, by the names in `processes`. */
  readonly cpuSeconds: Readonly<Record<string, number>>;
  readonly generatorCpuSeconds: number;
}

export const KEY_PREFIX_LENGTH = 12;
export const KEY_LENGTH = 24;

async function run(spec: LoadSpec): Promise<LoadResult> {
  const load = new Load(spec);
  await load.connect();
  load.start();
  await sleep(spec.warmupMs);

  const before = snapshot(spec);
  load.latenciesMs = [];
  await sleep(spec.measureMs);
  const after = snapshot(spec);
  const latencies = Float64Array.from(load.latenciesMs).toSorted();

  await load.stop();
  return {
    answered: latencies.length,
    failed: load.failed,
    firstFailure: load.firstFailure,
    seconds: (after.atMs - before.atMs) / 1000,
    p50Us: quantile(latencies, 0.5) * 1000,
    p99Us: quantile(latencies, 0.99) * 1000,
    cpuSeconds: Object.fromEntries(
      Object.keys(spec.processes).map((name) => [name, after.cpu[name]! - before.cpu[name]!]),
    ),
    generatorCpuSeconds: after.own - before.own,
  };
}

function snapshot(spec: LoadSpec): { atMs: number; cpu: Record<string, number>; own: number } {
  const own = process.cpuUsage();
  return {
    atMs: performance.now(),
    cpu: cpuSecondsOf(spec.processes),
    own: (own.user + own.system) / 1e6,
  };
}

/** All calls in flight. Slot n belongs to connection ⌊n / streams⌋ and always has one call, until `stop`. */
class Load {
  latenciesMs: number[] = [];
  failed = 0;
  firstFailure: string | null = null;
  private readonly spec: LoadSpec;
  private readonly slots: number;
  private readonly connections: LoadConnection[] = [];
  private readonly keys: Buffer[] = [];
  private readonly sentAtMs: number[] = [];
  private keysMade = 0;
  private inFlight = 0;
  private running = true;
  private readonly drained = Promise.withResolvers<void>();

  constructor(spec: LoadSpec) {
    this.spec = spec;
    this.slots = spec.connections * spec.streams;
  }

  async connect(): Promise<void> {
    const { ports, path, metadata, keyAt } = this.spec;
    const message = Buffer.from(this.spec.message, "base64");
    for (let i = 0; i < this.spec.connections; i++) {
      const port = ports[i % ports.length]!;
      const frames = unaryFrames({ path, authority: `127.0.0.1:${port}`, metadata, message, keyAt });
      const socket = connect(port, "127.0.0.1");
      await once(socket, "connect");
      const connection = new LoadConnection(socket, frames, {
        answered: (slot, bytes, start, end) => this.answered(slot, bytes, start, end),
        failed: (slot, why) => this.missed(slot, why),
      });
      await connection.ready;
      this.connections.push(connection);
    }
  }

  start(): void {
    for (let slot = 0; slot < this.slots; slot++) this.send(slot);
    for (const connection of this.connections) connection.flush();
  }

  async stop(): Promise<void> {
    this.running = false;
    await Promise.race([this.drained.promise, sleep(10_000, undefined, { ref: false })]);
    for (const connection of this.connections) connection.close();
    if (this.inFlight > 0) this.note(`${this.inFlight} calls were never answered`);
  }

  private send(slot: number): void {
    const { keyPrefix, keyCycle } = this.spec;
    const n = keyCycle === 0 ? this.keysMade : this.keysMade % keyCycle;
    this.keysMade++;
    const key = Buffer.from(keyPrefix + String(n).padStart(KEY_LENGTH - KEY_PREFIX_LENGTH, "0"), "latin1");
    this.keys[slot] = key;
    this.inFlight++;
    this.sentAtMs[slot] = performance.now();
    this.connections[Math.floor(slot / this.spec.streams)]!.call(slot, key);
  }

  private answered(slot: number, bytes: Buffer, start: number, end: number): void {
    if (isExpected(this.spec.expected, bytes, start, end, this.keys[slot]!)) {
      this.latenciesMs.push(performance.now() - this.sentAtMs[slot]!);
      this.next(slot);
    } else {
      this.missed(slot, `not the expected answer: ${bytes.toString("latin1", start, end)}`);
    }
  }

  private missed(slot: number, why: string): void {
    this.note(why);
    this.next(slot);
  }

  private note(why: string): void {
    this.failed++;
    this.firstFailure ??= why;
  }

  private next(slot: number): void {
    this.inFlight--;
    if (this.running) this.send(slot);
    else if (this.inFlight === 0) this.drained.resolve();
  }
}

if (import.meta.main) {
  const spec: LoadSpec = JSON.parse(process.argv[2]!);
  process.stdout.write(`${JSON.stringify(await run(spec))}\n`);
}
