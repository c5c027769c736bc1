import { describe, expect, it } from "vitest";
import { type Breaker, createBreaker, type Permit, type SharedCircuit } from "../../src/circuit/breaker.ts";
import type { Clock } from "../../../../src/core/clock.ts";
import type { FleetView, Member, Standing } from "../../src/circuit/fleet.ts";

const LEASE_MS = 10_000;
const DENIED = { kind: "denied", cause: "shared" };

/** A fleet that says what the test says, and whose circuit is open. */
class OpenFleet implements SharedCircuit {
  view: () => FleetView = () => ({ open: true, probeAt: this.now, lease: null, challenged: false, recoveredAt: null });
  member: Member | null = null;
  now = 1_000;
  readonly problem = null;

  attach(member: Member): void {
    this.member = member;
  }

  /** Gives this process the lease of that number, until so many milliseconds from now. */
  give(number: number, milliseconds = LEASE_MS): void {
    const until = this.now + milliseconds;
    this.view = () => ({
      open: true,
      probeAt: this.now,
      lease: { number, until },
      challenged: false,
      recoveredAt: null,
    });
  }

  /** What this process says of itself. */
  get standing(): Standing {
    return this.member?.standing() as Standing;
  }

  wake(): void {}
  async close(): Promise<void> {}
}

function start(): { fleet: OpenFleet; breaker: Breaker } {
  const fleet = new OpenFleet();
  const clock: Clock = { now: () => 1_800_000_000_000_000, monotonic: () => fleet.now };
  const config = { failures: 5, probeAfterMs: 30_000 };
  const breaker = createBreaker({ service: "http://s", agentId: "a", config, clock, random: () => 0.5, shared: fleet });
  return { fleet, breaker };
}

function probeOf(permit: Permit): Extract<Permit, { kind: "probe" }> {
  expect(permit.kind).toBe("probe");
  return permit as Extract<Permit, { kind: "probe" }>;
}

describe("while the fleet's circuit is open, a process", () => {
  it("sends nothing without the lease", () => {
    const { fleet, breaker } = start();
    for (let call = 0; call < 3; call++) expect(breaker.permit()).toMatchObject(DENIED);
    expect(fleet.standing).toMatchObject({ want: "busy", outcome: null });
  });

  it("sends one probe under a lease, for as long as the lease lasts, and denies the other calls", () => {
    const { fleet, breaker } = start();
    fleet.give(7);
    expect(probeOf(breaker.permit()).leaseMs).toBe(LEASE_MS);
    for (let call = 0; call < 3; call++) expect(breaker.permit().kind).toBe("denied");
    expect(fleet.standing.want).toBe("probing");
  });

  it.each([
    ["success", { kind: "success" }],
    ["failure", { kind: "failure", error: "gone" }],
    ["ignored", { kind: "ignored" }],
  ] as const)("tells the fleet how its probe ended: %s, under the lease's number", (outcome, result) => {
    const { fleet, breaker } = start();
    fleet.give(7);
    breaker.report(probeOf(breaker.permit()).token, result);
    expect(fleet.standing.outcome).toEqual({ lease: 7, outcome });
  });

  it("sends no second probe under a lease that it has used, and one under the next lease", () => {
    const { fleet, breaker } = start();
    fleet.give(7);
    breaker.report(probeOf(breaker.permit()).token, { kind: "ignored" });
    fleet.now += 5_000;
    fleet.give(7);
    expect(breaker.permit().kind).toBe("denied");
    fleet.give(8);
    probeOf(breaker.permit());
  });

  it("sends no probe under a lease of which less than half is left, nor under one that is over", () => {
    const { fleet, breaker } = start();
    for (const left of [LEASE_MS / 2 - 1, 1, 0, -1]) {
      fleet.give(7, left);
      expect(breaker.permit(), `${left} ms`).toMatchObject(DENIED);
    }
    fleet.give(7, LEASE_MS / 2);
    expect(probeOf(breaker.permit()).leaseMs).toBe(LEASE_MS / 2);
  });

  it("counts nothing that a probe says after its lease", () => {
    const { fleet, breaker } = start();
    fleet.give(7);
    const { token } = probeOf(breaker.permit());
    fleet.now += LEASE_MS + 1;
    breaker.report(token, { kind: "success" });
    expect(fleet.standing.outcome?.outcome).not.toBe("success");
    expect(breaker.permit().kind).toBe("denied");
  });
});
