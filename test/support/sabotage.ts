/**
 * Loaded into a process before the program (`node --import`): its mistakes are ours. Each throws what V8 would, with a value of the
 * caller's in the message.
 */
import { AdminOperations } from "../../src/admin/operations.ts";
import { RandomPool } from "../../src/core/ids.ts";
import type { Subject } from "../../src/policy/cel/evaluation.ts";
import { Engine } from "../../src/policy/engine.ts";
import { SqlCircuitCommands } from "../../src/store/circuit-commands.ts";
import { SqlRecordStore } from "../../src/store/records.ts";
import { SqlReviewStore } from "../../src/store/reviews.ts";
import { SABOTAGED_TOOL, SECRET } from "./mistakes.ts";

// A worker runs many test files, and shares its modules among them: those that come later would fail.
if (process.env["VITEST"] !== undefined)
  throw new Error("sabotage.ts is for processes that a test starts, not for its own");

function fail(): never {
  // The second line looks like a frame.
  throw new TypeError(
    `Cannot use 'in' operator to search for 'card' in ${SECRET}\n    at ${SECRET} (/etc/${SECRET}:1:1)`,
  );
}

/** Lets `method` fail where `when` says so. */
function sabotage<Name extends string>(
  prototype: { [name in Name]: (...args: never[]) => unknown },
  method: Name,
  when: (...args: readonly unknown[]) => boolean = () => true,
): void {
  const original = prototype[method];
  prototype[method] = function (this: unknown, ...args: never[]) {
    return when(...args) ? fail() : original.apply(this, args);
  };
}

sabotage(Engine.prototype, "judge", (subject) => (subject as Subject).tool === SABOTAGED_TOOL);
sabotage(SqlRecordStore.prototype, "findClaimOf");
sabotage(SqlCircuitCommands.prototype, "newest");
sabotage(AdminOperations.prototype, "getDecision");
sabotage(SqlReviewStore.prototype, "listExpired");
// Where a guard makes a nonce.
sabotage(RandomPool.prototype, "take", () => /call\/ask\.ts/.test(new Error().stack ?? ""));
