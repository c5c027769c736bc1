import { pino } from "pino";
import { expect, test } from "vitest";
import { Fault } from "../../../src/core/fault.ts";
import { logFault, logLateFault } from "../../../src/server/lifecycle/log.ts";
import { SqlError } from "../../../src/store/dialect/sql-error.ts";

/** A log, and the lines that it has written. */
function memoryLog() {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "debug" }, { write: (line) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}

test("logs a bug once, with the method, the agent, its stack and the id that the caller gets", () => {
  const { log, lines } = memoryLog();
  const fault = Fault.from(new TypeError("undefined is not a function"));
  logFault(log, fault, { method: "Authorize", agentId: "billing-1" });
  logFault(log, fault, { method: "Authorize" });
  expect(lines).toHaveLength(1);
  const error = {
    type: "TypeError",
    message: "undefined is not a function",
    stack: expect.stringContaining("log.test.ts"),
  };
  const { requestId } = fault;
  expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
  expect(lines[0]).toMatchObject({
    level: 50,
    code: "INTERNAL",
    method: "Authorize",
    agentId: "billing-1",
    requestId,
    error,
  });
});

test("logs an outage with its cause, the decision that may be recorded and the caller's trace id", () => {
  const { log, lines } = memoryLog();
  const cause = new SqlError("Postgres did not answer within 2000 ms", { outcome: "unknown" });
  const fault = new Fault("COMMIT_UNKNOWN", "Not answered.", { cause, decisionId: "d" });
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  logFault(log, fault, { method: "Authorize", traceparent: `00-${traceId}-b7ad6b7169203331-01` });
  expect(lines).toMatchObject([{ level: 50, code: "COMMIT_UNKNOWN", decisionId: "d", traceId, cause: cause.message }]);
  expect(lines[0]).not.toHaveProperty("error");
});

test("logs a fault that came too late for its caller only if it is a bug", () => {
  const { log, lines } = memoryLog();
  logLateFault(log, new Fault("STORE_UNAVAILABLE", "Down."), { method: "Authorize" });
  expect(lines).toEqual([]);
  logLateFault(log, Fault.from(new TypeError("x")), { method: "Authorize" });
  expect(lines).toMatchObject([{ code: "INTERNAL" }]);
});

test("repeats no text of a caller's", () => {
  const { log, lines } = memoryLog();
  const fault = new Fault("FIELD_INVALID", "payload.hunter2 is none", { field: "payload.hunter2" });
  logFault(log, fault, { method: "SyncGuard" });
  expect(lines).toMatchObject([{ level: 20, code: "FIELD_INVALID", method: "SyncGuard", field: "payload" }]);
  expect(JSON.stringify(lines)).not.toContain("hunter2");
});
