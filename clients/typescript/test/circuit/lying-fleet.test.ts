import assert from "node:assert/strict";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBreaker, type Permit, type Result, type SharedCircuit } from "../../src/circuit/breaker.ts";
import { timing } from "../../src/circuit/config.ts";
import type { FleetView, Member } from "../../src/circuit/fleet.ts";
import type { Clock } from "../../../../src/core/clock.ts";
import { amount } from "../../../../test/support/amount.ts";

const CONFIG = { failures: 3, probeAfterMs: 30_000, rampMs: 5_000 };
const LIMITS = timing(CONFIG);
const RUNS = amount(2_000, 50_000);

/** A fleet that says whatever it is told to, as the worst of stores could make it. */
class Liar implements SharedCircuit {
  word: FleetView | null = null;
  member: Member | null = null;
  readonly problem = null;
  attach(member: Member): void {
    this.member = member;
  }
  view(): FleetView | null {
    return this.word;
  }
  wake(): void {}
  async close(): Promise<void> {}
}

type Command =
  | { readonly kind: "permit" }
  | { readonly kind: "report"; readonly which: number; readonly result: Result }
  | { readonly kind: "wait"; readonly milliseconds: number }
  | { readonly kind: "exchange" }
  | { readonly kind: "say"; readonly word: Lie | null };

/** A view, with times from now. */
interface Lie {
  readonly open: boolean;
  readonly probeIn: number;
  readonly lease: { readonly number: number; readonly left: number } | null;
  readonly challenged: boolean;
  readonly recoveredAgo: number | null;
}

const result = fc.constantFrom<Result>({ kind: "failure", error: "down" }, { kind: "success" }, { kind: "ignored" });
/** A lease of full length is left out: the onlooker could not tell a probe under it from one that needs none. */
const lease = fc.record({ number: fc.nat({ max: 3 }), left: fc.nat({ max: LIMITS.leaseMs - 1 }) });
const lie: fc.Arbitrary<Lie> = fc.record({
  open: fc.boolean(),
  probeIn: fc.nat({ max: 2 * LIMITS.probeAfterMs }),
  lease: fc.option(lease),
  challenged: fc.boolean(),
  recoveredAgo: fc.option(fc.nat({ max: 100_000 })),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ kind: "permit" as const }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("report" as const), which: fc.nat(), result }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("say" as const), word: fc.option(lie) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "exchange" as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      milliseconds: fc.constantFrom(1, 1_000, 6_000, 11_000, 28_000, 301_000),
    }),
  },
);

/** Open, however often one asks. */
const OPEN: Lie = { open: true, probeIn: 1_000, lease: null, challenged: false, recoveredAgo: null };
const ASK_LATER: Command[] = [{ kind: "wait", milliseconds: 60_000 }, { kind: "permit" }];
const STUBBORN: Command[] = [{ kind: "say", word: OPEN }, ...Array.from({ length: 10 }, () => ASK_LATER).flat()];

/** A breaker among liars, and an onlooker who has seen only what became of its calls. */
class Onlooker {
  readonly liar = new Liar();
  readonly clock: Clock & { elapsed: number } = { elapsed: 0, now: () => 0, monotonic: () => this.clock.elapsed };
  readonly breaker = createBreaker({
    service: "s",
    agentId: "a",
    config: CONFIG,
    clock: this.clock,
    random: () => 0,
    shared: this.liar,
  });
  readonly underWay: Extract<Permit, { token: unknown }>[] = [];
  usedLease: number | null = null;
  /** Not before this may any call go: five in a row, or a call that was to find out, have failed. */
  notBefore = 0;
  /** The last call or result; local reasons to deny outlive it by at most a probe's time and interval. */
  lastEvent = 0;
  deniedSince: number | null = null;

  follow(next: Command): void {
    switch (next.kind) {
      case "permit":
        this.permit();
        return;
      case "report":
        this.report(next.which, next.result);
        return;
      case "wait":
        this.clock.elapsed += next.milliseconds;
        return;
      case "exchange":
        this.exchange();
        return;
      case "say":
        this.liar.word = next.word === null ? null : this.viewOf(next.word);
        this.liar.member?.changed();
        return;
    }
  }

  permit(): void {
    const permit = this.breaker.permit();
    const word = this.liar.word;
    if (permit.kind === "denied") {
      this.denied();
      return;
    }
    [this.lastEvent, this.deniedSince] = [this.clock.elapsed, null];
    assert.ok(this.clock.elapsed >= this.notBefore, "no word of the fleet's brings a call forward");
    if (permit.kind === "probe") assert.ok(permit.leaseMs >= LIMITS.leaseMs / 2, "a probe has time to end");
    if (permit.kind === "probe" && permit.leaseMs < LIMITS.leaseMs) {
      assert.ok(word?.open === true && word.lease !== null && word.lease.until - this.clock.elapsed === permit.leaseMs);
      assert.notEqual(
        word.lease.number,
        this.usedLease,
        "a lease is for one probe, and for none once it was given back",
      );
      this.usedLease = word.lease.number;
    }
    this.underWay.push(permit);
  }

  denied(): void {
    const local = LIMITS.leaseMs + 1.1 * LIMITS.probeAfterMs;
    if (this.clock.elapsed - this.lastEvent <= local) return;
    this.deniedSince ??= this.clock.elapsed;
    assert.ok(this.clock.elapsed - this.deniedSince < LIMITS.heedMs, "others' word denies for a bounded time");
  }

  report(which: number, how: Result): void {
    const [permit] = this.underWay.splice(which % Math.max(1, this.underWay.length), 1);
    if (permit === undefined) return;
    const before = this.breaker.snapshot.consecutiveFailures;
    this.breaker.report(permit.token, how);
    [this.lastEvent, this.deniedSince] = [this.clock.elapsed, null];
    const { state, consecutiveFailures, openedLocally } = this.breaker.snapshot;
    const counted = how.kind === "failure" && consecutiveFailures === before + 1;
    if (counted && (consecutiveFailures >= CONFIG.failures || permit.kind === "probe")) {
      assert.equal(state, "open");
      this.notBefore = this.clock.elapsed + 0.9 * CONFIG.probeAfterMs;
    }
    if (openedLocally) assert.ok(consecutiveFailures >= 1, "a bypass needs failures that this process saw");
  }

  exchange(): void {
    const standing = this.liar.member?.standing();
    const lease = this.liar.word?.lease;
    if (standing?.want === "no" && lease !== null && lease !== undefined) this.usedLease = lease.number;
    if (standing !== undefined) this.liar.member?.delivered(standing);
  }

  viewOf({ open, probeIn, lease, challenged, recoveredAgo }: Lie): FleetView {
    const now = this.clock.elapsed;
    return {
      open,
      probeAt: now + probeIn,
      lease: lease === null ? null : { number: lease.number, until: now + lease.left },
      challenged,
      recoveredAt: recoveredAgo === null ? null : now - recoveredAgo,
    };
  }
}

describe("whatever the fleet says", () => {
  it(`it brings no call forward, and denies for a bounded time (${RUNS} sequences)`, () => {
    const holds = fc.property(fc.array(command, { maxLength: 80, size: "max" }), (commands) => {
      const onlooker = new Onlooker();
      for (const next of commands) onlooker.follow(next);
    });
    expect(() => fc.assert(holds, { numRuns: RUNS, examples: [[STUBBORN]] })).not.toThrow();
  });
});
