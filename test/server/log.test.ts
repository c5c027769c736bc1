import { pino } from "pino";
import { expect, test } from "vitest";
import { Fault } from "../../src/fault.ts";
import { logFault } from "../../src/server/log.ts";

/** A log, and the lines that it has written. */
function memoryLog() {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "debug" }, { write: (line) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}

test("tells a fault of ours once, with the method and the cause", () => {
  const { log, lines } = memoryLog();
  const fault = Fault.from(new Error("column x does not exist"));
  logFault(log, fault, { method: "Authorize", agentId: "billing-1" });
  logFault(log, fault, { method: "Authorize" });
  expect(lines).toHaveLength(1);
  const cause = "column x does not exist";
  expect(lines[0]).toMatchObject({ level: 50, code: "INTERNAL", method: "Authorize", agentId: "billing-1", cause });
});

test("repeats no text of a caller's", () => {
  const { log, lines } = memoryLog();
  const fault = new Fault("FIELD_INVALID", "payload.hunter2 is none", { field: "payload.hunter2" });
  logFault(log, fault, { method: "SyncGuard" });
  expect(lines).toMatchObject([{ level: 20, code: "FIELD_INVALID", method: "SyncGuard", field: "payload" }]);
  expect(JSON.stringify(lines)).not.toContain("hunter2");
});
