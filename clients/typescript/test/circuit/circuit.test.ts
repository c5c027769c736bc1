import assert from "node:assert/strict";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  admission,
  type Circuit,
  type CircuitConfig,
  type Generation,
  newCircuit,
  type Outcome,
  step,
} from "../../src/circuit/circuit.ts";
import { amount } from "../../../../test/support/amount.ts";

const config: CircuitConfig = { failures: 5, probeAfterMs: 30_000, rampMs: 5_000 };
const LEASE_MS = 10_000;
const RUNS = amount(3_000, 100_000);

/** A circuit with its clock, driven as a breaker drives it. */
class Driver {
  circuit: Circuit = newCircuit(7);
  now = 1_000;

  wait(milliseconds: number): this {
    this.now += milliseconds;
    this.circuit = step(config, this.circuit, { kind: "time" }, this.now);
    return this;
  }

  ask(roll = 0.5): { readonly verdict: "pass" | "trial" | "deny"; readonly generation: Generation } {
    this.wait(0);
    const verdict = admission(config, this.circuit, roll, this.now);
    if (verdict === "pass") this.circuit = step(config, this.circuit, { kind: "passed" }, this.now);
    if (verdict === "trial") this.circuit = step(config, this.circuit, { kind: "trial", leaseMs: LEASE_MS }, this.now);
    return { verdict, generation: this.circuit.generation };
  }

  result(generation: Generation, outcome: Outcome, roll = 0.5): this {
    this.circuit = step(config, this.circuit, { kind: "result", generation, outcome, roll }, this.now);
    return this;
  }

  lift(): this {
    this.circuit = step(config, this.circuit, { kind: "lifted" }, this.now);
    return this;
  }

  call(outcome: Outcome): this {
    return this.result(this.ask(0).generation, outcome);
  }

  fail(times: number): this {
    for (let done = 0; done < times; done += 1) this.call("failure");
    return this;
  }
}

const opened = (): Driver => new Driver().fail(5);
const recovering = (): Driver => opened().wait(33_000).call("success");

describe("a closed circuit", () => {
  it("opens at the fifth failure in a row, not at the fourth", () => {
    const driver = new Driver().fail(4);
    expect(driver.circuit).toMatchObject({ kind: "closed", failures: 4 });
    expect(driver.fail(1).circuit).toMatchObject({ kind: "open", failures: 5, evidence: "count" });
  });

  it("starts counting anew at a success, and not at a call that says nothing", () => {
    expect(new Driver().fail(4).call("success").fail(4).circuit.kind).toBe("closed");
    expect(new Driver().fail(4).call("ignored").fail(1).circuit.kind).toBe("open");
  });

  it("counts results in the order in which they come", () => {
    const driver = new Driver();
    const asked = Array.from({ length: 6 }, () => driver.ask());
    const outcomes: Outcome[] = ["failure", "failure", "success", "failure", "failure", "failure"];
    for (const [index, { generation }] of asked.entries()) driver.result(generation, outcomes[index] ?? "ignored");
    expect(driver.circuit).toMatchObject({ kind: "closed", failures: 3 });
  });
});

describe("an open circuit", () => {
  it("denies for 30 s ± 10 %, then lets one call through", () => {
    for (const [roll, dueIn] of [
      [0, 27_000],
      [0.5, 30_000],
      [0.999_999, 33_000],
    ] as const) {
      const driver = new Driver().fail(4);
      driver.result(driver.ask().generation, "failure", roll);
      expect(driver.wait(dueIn - 1).ask().verdict).toBe("deny");
      expect(driver.wait(1).ask().verdict).toBe("trial");
      expect(driver.ask().verdict).toBe("deny");
    }
  });

  it("ignores what became of the calls that were let through before it opened", () => {
    const driver = new Driver();
    const early = driver.ask().generation;
    driver.fail(5);
    const before = driver.circuit;
    for (const outcome of ["success", "failure", "ignored"] as const)
      expect(driver.result(early, outcome).circuit).toBe(before);
  });

  it("ignores a result of another machine", () => {
    const driver = opened().wait(33_000);
    const { generation } = driver.ask();
    const before = driver.circuit;
    expect(driver.result({ ...generation, epoch: generation.epoch + 1 }, "success").circuit).toBe(before);
  });
});

describe("a probe", () => {
  it("that fails starts the 30 s again, in the same outage", () => {
    const driver = opened();
    const { circuit } = driver;
    driver.wait(33_000).call("failure");
    expect(driver.circuit).toMatchObject({ kind: "open", failures: 6, probeAt: driver.now + 30_000 });
    expect(driver.circuit).toMatchObject({ openedAt: circuit.kind === "open" ? circuit.openedAt : null });
  });

  it("that hangs is given up with its lease, and the next call probes", () => {
    const driver = opened().wait(33_000);
    const hung = driver.ask().generation;
    expect(driver.wait(LEASE_MS - 1).ask().verdict).toBe("deny");
    expect(driver.wait(1).ask().verdict).toBe("trial");
    const before = driver.circuit;
    expect(driver.result(hung, "success").circuit).toBe(before);
  });

  it("that says nothing is repeated, but not at once", () => {
    const driver = opened().wait(33_000).call("ignored");
    expect(driver.circuit.kind).toBe("open");
    expect(driver.wait(2_999).ask().verdict).toBe("deny");
    expect(driver.wait(1).ask().verdict).toBe("trial");
  });
});

describe("a recovering circuit", () => {
  it("lets a growing share of the calls through", () => {
    const driver = recovering();
    const shares = [0, 1_000, 2_500, 4_500].map((elapsed) => {
      const rolls = Array.from({ length: 1_000 }, (_, index) => index / 1_000);
      const circuit: Circuit =
        driver.circuit.kind === "recovering" ? { ...driver.circuit, inFlight: 1 } : driver.circuit;
      return rolls.filter((share) => admission(config, circuit, share, driver.now + elapsed) === "pass").length / 1_000;
    });
    expect(shares).toEqual([0, 0.2, 0.5, 0.9]);
  });

  it("never denies a caller that makes one call at a time", () => {
    const driver = recovering();
    for (let calls = 0; calls < 20; calls += 1) {
      const { verdict, generation } = driver.ask(0.999);
      expect(verdict).toBe("pass");
      driver.result(generation, "success").wait(100);
    }
  });

  it("reopens at the first failure", () => {
    const driver = recovering().wait(100).call("failure");
    expect(driver.circuit).toMatchObject({ kind: "open", openedAt: driver.now, probeAt: driver.now + 30_000 });
  });

  it("closes when the ramp is over, and still counts what the ramp let through", () => {
    const driver = recovering();
    const { generation } = driver.ask();
    expect(driver.wait(4_999).circuit.kind).toBe("recovering");
    expect(driver.wait(1).circuit.kind).toBe("closed");
    expect(driver.result(generation, "failure").circuit).toMatchObject({ kind: "closed", failures: 1 });
  });
});

describe("when others' denial is lifted", () => {
  it("a closed circuit still wants a success of its own before it lets more than one call through", () => {
    const driver = new Driver().lift();
    expect(driver.circuit).toMatchObject({ kind: "open", evidence: "none" });
    const { verdict, generation } = driver.ask();
    expect(verdict).toBe("trial");
    expect(driver.ask().verdict).toBe("deny");
    expect(driver.result(generation, "success").circuit.kind).toBe("recovering");
  });

  it("an open circuit stays as it is", () => {
    const driver = opened();
    const before = driver.circuit;
    expect(driver.lift().circuit).toBe(before);
  });

  it("one failure then is not a count of its own", () => {
    expect(new Driver().lift().call("failure").circuit).toMatchObject({ kind: "open", evidence: "trial", failures: 1 });
  });
});

type Command =
  | { readonly kind: "ask"; readonly roll: number }
  | { readonly kind: "end"; readonly which: number; readonly outcome: Outcome; readonly roll: number }
  | { readonly kind: "wait"; readonly milliseconds: number }
  | { readonly kind: "lift" };

const roll = fc.double({ min: 0, max: 0.999, noNaN: true });
const outcome = fc.constantFrom<Outcome>("failure", "failure", "failure", "success", "ignored");
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("ask" as const), roll }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("end" as const), which: fc.nat(), outcome, roll }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      milliseconds: fc.constantFrom(1, 900, 4_000, 9_999, 27_000, 33_001),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "lift" as const }) },
);

/** Calls under way, and what an onlooker who knows only the promises can tell of them. */
interface Call {
  readonly generation: Generation;
  readonly trial: boolean;
  /** How often the circuit had left a state when the call was let through. */
  readonly era: number;
  readonly startedAt: number;
}

/** Follows a circuit from outside, and holds it to its promises at each step. */
class Onlooker {
  readonly driver = new Driver();
  readonly underWay: Call[] = [];
  era = 0;
  failuresInARow = 0;
  deniedUntil = 0;
  /** Since it opened, no call that was let through to find out has succeeded. */
  down = false;

  follow(next: Command): void {
    switch (next.kind) {
      case "ask":
        this.ask(next.roll);
        return;
      case "end":
        this.end(next);
        return;
      case "wait":
        this.driver.wait(next.milliseconds);
        return;
      case "lift":
        this.lift();
        return;
    }
  }

  ask(rolled: number): void {
    const { kind } = this.driver.wait(0).circuit;
    const { verdict, generation } = this.driver.ask(rolled);
    if (this.driver.now < this.deniedUntil) assert.equal(verdict, "deny", "no call before the next probe is due");
    if (kind === "closed") assert.equal(verdict, "pass", "a closed circuit denies nobody");
    if (this.down) assert.notEqual(verdict, "pass", "nothing but a success lets more than one call through");
    if (verdict === "deny") return;
    if (verdict === "trial") {
      const rival = this.underWay.find(
        (call) => call.trial && call.era === this.era && this.driver.now < call.startedAt + LEASE_MS,
      );
      assert.equal(rival, undefined, "one probe at a time");
      this.era += 1;
    }
    this.underWay.push({ generation, trial: verdict === "trial", era: this.era, startedAt: this.driver.now });
  }

  end({ which, outcome: how, roll: rolled }: Extract<Command, { kind: "end" }>): void {
    const [call] = this.underWay.splice(which % Math.max(1, this.underWay.length), 1);
    if (call === undefined) return;
    const before = this.driver.wait(0).circuit;
    const after = this.driver.result(call.generation, how, rolled).circuit;
    const expired = call.trial && this.driver.now >= call.startedAt + LEASE_MS;
    if (call.era !== this.era || expired) {
      assert.equal(after, before, "a late result changes nothing");
      return;
    }
    if (how === "success") this.succeeded(call, after);
    if (how === "failure") this.failed(before, after);
    if (how === "ignored" && call.trial) this.era += 1;
    if (how === "ignored") assert.equal(after.failures, this.failuresInARow);
  }

  succeeded(call: Call, after: Circuit): void {
    this.failuresInARow = 0;
    assert.equal(after.failures, 0);
    if (!call.trial) return;
    this.era += 1;
    this.down = false;
    assert.equal(after.kind, "recovering");
  }

  failed(before: Circuit, after: Circuit): void {
    this.failuresInARow += 1;
    assert.equal(after.failures, this.failuresInARow);
    // At the fifth in a row; in half-open and in recovery at the first.
    const opens = before.kind !== "closed" || this.failuresInARow >= config.failures;
    assert.equal(after.kind, opens ? "open" : "closed");
    if (!opens) return;
    this.era += 1;
    this.down = true;
    this.deniedUntil = this.driver.now + 0.9 * config.probeAfterMs;
  }

  lift(): void {
    const { circuit: before } = this.driver.wait(0);
    const after = this.driver.lift().circuit;
    if (before.kind === "closed") {
      this.era += 1;
      this.down = true;
    } else assert.equal(after, before, "others' word closes nothing");
    assert.notEqual(after.kind, "closed");
  }
}

describe("whatever happens in whatever order", () => {
  it(`the circuit keeps its promises (${RUNS} sequences)`, () => {
    const holds = fc.property(fc.array(command, { maxLength: 60, size: "max" }), (commands) => {
      const onlooker = new Onlooker();
      for (const next of commands) onlooker.follow(next);
    });
    expect(() => fc.assert(holds, { numRuns: RUNS })).not.toThrow();
  });
});
