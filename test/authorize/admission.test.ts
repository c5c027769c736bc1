import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Admission } from "../../src/authorize/admission.ts";
import { Fault } from "../../src/core/fault.ts";

/** An admission whose clock the test sets. */
function open(ratePerAgent: number, burstPerAgent: number): { admission: Admission; clock: { ms: number } } {
  const clock = { ms: 0 };
  return { admission: new Admission({ ratePerAgent, burstPerAgent }, () => clock.ms), clock };
}

/** Null if admitted. */
function refusal(admission: Admission, agentId: string): Fault | null {
  try {
    admission.admit(agentId);
    return null;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

describe("an agent", () => {
  test("may spend its burst at once, and then waits as long as it is told", () => {
    const { admission, clock } = open(10, 3);
    expect([1, 2, 3].map(() => refusal(admission, "a"))).toEqual([null, null, null]);
    const refused = refusal(admission, "a");
    expect(refused).toMatchObject({ code: "RATE_LIMITED", status: "resource_exhausted", retryAfterMs: 100 });
    clock.ms += 99;
    expect(refusal(admission, "a")?.retryAfterMs).toBe(1);
    clock.ms += 1;
    expect(refusal(admission, "a")).toBeNull();
    expect(refusal(admission, "a")).not.toBeNull();
  });

  test("does not wait for another's requests", () => {
    const { admission } = open(1, 1);
    for (let n = 0; n < 1000; n++) refusal(admission, "loop");
    expect(refusal(admission, "other")).toBeNull();
  });

  test("gets in any span of time at most its burst and what the rate adds, and no less when it asks all the time", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 100 }),
        fc.array(fc.nat(500), { minLength: 1, maxLength: 200 }),
        (rate, burst, waits) => {
          const { admission, clock } = open(rate, burst);
          let admitted = 0;
          for (const wait of waits) {
            clock.ms += wait;
            while (refusal(admission, "a") === null) admitted++;
          }
          const earned = (waits.slice(1).reduce((sum, wait) => sum + wait, 0) * rate) / 1000;
          expect(admitted).toBeLessThanOrEqual(burst + earned + 1e-3);
          expect(admitted).toBeGreaterThanOrEqual(burst);
        },
      ),
    );
  });

  test("is admitted after the wait that it was told", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.array(fc.double({ min: 0, max: 50, noNaN: true })),
        (rate, waits) => {
          const { admission, clock } = open(rate, 1);
          for (const wait of waits) {
            clock.ms += wait;
            const refused = refusal(admission, "a");
            if (refused === null) continue;
            clock.ms += refused.retryAfterMs ?? 0;
            expect(refusal(admission, "a")).toBeNull();
          }
        },
      ),
    );
  });
});

test("a rate of 0 is no limit", () => {
  const { admission } = open(0, 1);
  for (let n = 0; n < 1000; n++) expect(refusal(admission, "a")).toBeNull();
});

test("nobody is admitted once it is closed, and is told to ask another replica", () => {
  const { admission } = open(0, 1);
  admission.close();
  expect(refusal(admission, "a")).toMatchObject({ code: "SHUTTING_DOWN", status: "unavailable", retryAfterMs: 1000 });
});
