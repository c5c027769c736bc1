import { expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { Runs, type RunsOptions } from "../../src/mcp/runs.ts";

type Report = RunsOptions["guard"]["report"];
const EXECUTION = { decisionId: "d1", executionId: "e1" };

function runsWith(report: Report) {
  const warnings: string[] = [];
  const warn = (problem: string): unknown => warnings.push(problem);
  return { runs: new Runs({ guard: { report }, timeoutMs: 5000, clock: systemClock, warn }), warnings };
}

test("the end of a run is reported once, with how long it took, and the first one counts", async () => {
  const reports: Parameters<Report>[0][] = [];
  const { runs, warnings } = runsWith(async (report) => {
    reports.push(report);
    return { state: "recorded", endedAt: 0, replayed: false };
  });
  const run = runs.open(EXECUTION);
  expect(run.isOver).toBe(false);
  run.end({ outcome: "failed", errorCode: "TOOL_ERROR" });
  run.end({ outcome: "succeeded" });
  await runs.settled();
  expect(reports).toEqual([
    { ...EXECUTION, outcome: "failed", errorCode: "TOOL_ERROR", durationMs: expect.any(Number) },
  ]);
  expect([run.isOver, warnings]).toEqual([true, []]);
});

test("a run that was not begun is not reported", async () => {
  const { runs } = runsWith(() => Promise.reject(new Error("it was reported")));
  const run = runs.open(null);
  run.end({ outcome: "succeeded" });
  await runs.settled();
  expect(run.isOver).toBe(true);
});

test.each([true, false])("a report that is not recorded is a warning (kept: %s)", async (kept) => {
  const { runs, warnings } = runsWith(async () => ({
    state: "not_recorded",
    reason: "SERVICE_UNAVAILABLE",
    message: "The service is down.",
    refusal: null,
    reportRefusal: null,
    kept,
  }));
  runs.open(EXECUTION).end({ outcome: "succeeded" });
  await runs.settled();
  expect(warnings).toEqual([
    `the outcome "succeeded" of the execution of decision d1 was not recorded (SERVICE_UNAVAILABLE): The service is down.${kept ? " It is kept and will be sent later." : ""}`,
  ]);
});
