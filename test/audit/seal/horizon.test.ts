import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Horizon } from "../../../src/audit/seal/horizon.ts";

/** Transactions that take rows and commit them later, and scans that begin at the horizon: a model of the database. */
class Model {
  /** The database's clock. */
  now = 1_000_000_000;
  /** The sealer's own. */
  #monotonic = 0;
  /** What may be done to the database's clock before the next observation: it is set once at most, and a restart hides by how much. */
  #isSet = false;
  #restarted = false;
  readonly #open = new Map<string, number[]>();
  #visible: { at: number; sealed: boolean }[] = [];
  #writers = 0;
  #restored = 0;
  /** Whether a writer may have the name of one before it. */
  namesAgain = false;

  begin(): void {
    this.#open.set(`w${this.#writers++}`, []);
  }

  write(which: number): void {
    const writers = [...this.#open.values()];
    writers[which % Math.max(1, writers.length)]?.push(this.now);
  }

  commit(which: number): void {
    const names = [...this.#open.keys()];
    const name = names[which % Math.max(1, names.length)];
    if (name === undefined) return;
    for (const at of this.#open.get(name) ?? []) this.#visible.push({ at, sealed: false });
    this.#open.delete(name);
  }

  /** The server restarts: what was not prepared never commits, what was goes on under another name, and names are used again. */
  restart(prepared: number): void {
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const [index, rows] of open.entries()) if (index < prepared) this.#open.set(`-1/${this.#restored++}`, rows);
    this.#writers = 0;
    this.namesAgain = true;
  }

  commitAll(): void {
    while (this.#open.size > 0) this.commit(0);
  }

  pass(micros: number): void {
    this.now += micros;
    this.#monotonic += micros;
  }

  /** Somebody sets the clock, or another server with another clock takes over. */
  set(by: number): void {
    if (this.#isSet || (this.#restarted && by < -HIDDEN)) return;
    this.now = Math.max(1_000_000, this.now + by);
    this.#isSet = by !== 0;
  }

  /** Whether the sealer may restart now. */
  restartSealer(): boolean {
    if (this.#isSet) return false;
    this.#restarted = true;
    return true;
  }

  /** @param between what happens between the observation and the scan */
  scan(horizon: Horizon, between: () => void, fails: boolean): void {
    const asked = this.#monotonic;
    this.pass(700);
    const at = this.now;
    this.pass(700);
    const since = horizon.observe({ at, asked, answered: this.#monotonic, writers: [...this.#open.keys()] });
    [this.#isSet, this.#restarted] = [false, false];
    between();
    if (fails) return;
    for (const row of this.#visible) if (row.at >= since) row.sealed = true;
    horizon.scanned();
  }

  get unsealed(): number {
    return this.#visible.filter(({ sealed }) => !sealed).length;
  }

  get oldestUnsealed(): number {
    const open = [...this.#open.values()].flat();
    return Math.min(...open, ...this.#visible.filter(({ sealed }) => !sealed).map(({ at }) => at));
  }
}

/** A process that has just begun looks back so far. */
const HIDDEN = 60_000_000;

const step = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: "begin" as const }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("write" as const), which: fc.nat(5) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("commit" as const), which: fc.nat(5) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("pass" as const), seconds: fc.nat(600) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("set" as const), seconds: fc.integer({ min: -900, max: 900 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("server" as const), prepared: fc.nat(3) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("scan" as const), commits: fc.nat(3), fails: fc.boolean() }),
  },
);

describe("the horizon", () => {
  test("no row that commits late, in whatever order, escapes two scans; also across restarts of the sealer and of Postgres", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => {
        const model = new Model();
        let horizon = new Horizon(0);
        let settled = 0;
        for (const one of steps) {
          if (one.kind === "begin") model.begin();
          else if (one.kind === "write") model.write(one.which);
          else if (one.kind === "commit") model.commit(one.which);
          else if (one.kind === "pass") model.pass(one.seconds * 1_000_000);
          else if (one.kind === "set") model.set(one.seconds * 1_000_000);
          else if (one.kind === "server") model.restart(one.prepared);
          else if (one.kind === "restart") horizon = model.restartSealer() ? new Horizon(settled) : horizon;
          else {
            const commits = (): void => {
              for (let n = 0; n < one.commits; n++) model.commit(n);
            };
            model.scan(horizon, commits, one.fails);
            // Nothing below it may ever turn up.
            expect(model.oldestUnsealed).toBeGreaterThanOrEqual(horizon.settled(false));
            settled = horizon.settled(false);
          }
          model.pass(1000);
        }
        // Who was seen as a writer and has committed since is looked for by the next scan.
        model.scan(horizon, () => undefined, false);
        if (!model.namesAgain) expect(model.unsealed).toBe(0);
        // A writer with the name of one before it holds that one's rows back, but not for longer than it lasts.
        model.commitAll();
        model.scan(horizon, () => undefined, false);
        expect(model.unsealed).toBe(0);
      }),
      { numRuns: 3000 },
    );
  });

  /** At `seconds` by the database's clock and `own` by the sealer's. */
  const seen = (seconds: number, writers: string[] = [], own = seconds) => {
    return { at: seconds * 1e6, asked: own * 1e6, answered: own * 1e6, writers };
  };

  test("moves on, and does not read again what is sealed", () => {
    const horizon = new Horizon(0);
    expect(horizon.observe(seen(1000))).toBe(0);
    horizon.scanned();
    expect(horizon.observe(seen(2000, ["a"]))).toBe(998e6);
    horizon.scanned();
    // The writer holds its own rows back, and nobody else's.
    expect(horizon.observe(seen(3000, ["a", "b"]))).toBe(1998e6);
    horizon.scanned();
    expect(horizon.settled(false)).toBe(1000e6);
    expect(horizon.oldestWriter).toBe(2000e6);
    expect(horizon.observe(seen(4000))).toBe(998e6);
    horizon.scanned();
    expect(horizon.settled(false)).toBe(4000e6);
  });

  test("goes back with the database's clock, also where it has moved on since it was set back", () => {
    const horizon = new Horizon(0);
    horizon.observe(seen(5000));
    horizon.scanned();
    expect(horizon.observe(seen(3000, [], 5000))).toBe(2998e6);
    horizon.scanned();
    // A minute passed here, and twenty seconds there.
    expect(horizon.observe(seen(3020, ["a"], 5060))).toBe(2958e6);
    horizon.scanned();
    // What a writer writes after that is as old.
    horizon.observe(seen(3030, ["a"], 5130));
    horizon.scanned();
    expect(horizon.observe(seen(3040, [], 5140))).toBe(2958e6);
  });

  test("of a process that has just begun looks back further, and takes no writer for one of long ago", () => {
    const horizon = new Horizon(500e6);
    expect(horizon.observe(seen(9000, ["a"]))).toBe(438e6);
    expect(horizon.oldestWriter).toBe(0);
    horizon.scanned();
    expect(horizon.observe(seen(9010, ["a"]))).toBe(8998e6);
    expect(horizon.oldestWriter).toBe(10e6);
    expect(new Horizon(500e6).observe(seen(300))).toBe(238e6);
  });
});
