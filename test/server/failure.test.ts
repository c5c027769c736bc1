import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CommitUnknown } from "../../src/audit/write/group-writer.ts";
import { Fault } from "../../src/core/fault.ts";
import { failureOf } from "../../src/server/failure.ts";
import { SqlError } from "../../src/store/dialect/sql-error.ts";

const outage = new SqlError("Postgres cannot be reached: connect ECONNREFUSED", { outcome: "rolled_back" });
const system = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:5432"), { code: "ECONNREFUSED" });
const driver = (code: string): Error => Object.assign(new Error("of the driver"), { code });

class NotDeliveredError extends Error {
  override readonly name = "NotDeliveredError";
}

describe("A failure that is to be expected has a cause, and no stack:", () => {
  test.each<[string, unknown, object]>([
    ["an outage", outage, { cause: outage.message }],
    ["an outage behind a fault", new Fault("STORE_UNAVAILABLE", "x", { cause: outage }), { cause: outage.message }],
    [
      "an outage in mid-commit",
      new Fault("COMMIT_UNKNOWN", "x", { cause: new CommitUnknown("y", { cause: outage }) }),
      { cause: outage.message },
    ],
    ["the system's error", system, { cause: system.message }],
    [
      "several of the system's",
      new AggregateError([system, system]),
      { cause: `${system.message}; ${system.message}` },
    ],
    ["a fetch that was not connected", new TypeError("fetch failed", { cause: system }), { cause: system.message }],
    ["an error with a name of ours", new NotDeliveredError("answered 500"), { cause: "answered 500" }],
    ["a fault without a cause", new Fault("STORE_UNAVAILABLE", "x"), {}],
    ["what is no error", "text", { cause: "a string was thrown" }],
  ])("%s", (_, error, expected) => {
    expect(failureOf(error)).toEqual(expected);
  });

  test.each(["08006", "40001", "40P01", "53300", "57P01", "58030", "25006", "55P03"])(
    "Postgres' code %s, which says nothing against the statement",
    (sqlState) => {
      const error = new SqlError("not now", { outcome: "rolled_back", sqlState, cause: driver(sqlState) });
      expect(failureOf(error)).toEqual({ cause: "not now" });
      expect(Fault.from(error)).toMatchObject({ code: "STORE_UNAVAILABLE", cause: error });
    },
  );
});

describe("A bug has its stack:", () => {
  test.each<[string, Error, string]>([
    ["a TypeError", new TypeError("undefined is not a function"), "undefined is not a function"],
    ["a plain error", new Error("The call has no request."), "The call has no …"],
    [
      "a fault that should not exist",
      new Fault("INTERNAL", "The review is of another request."),
      "The review is of another request.",
    ],
    [
      "a bug behind an outage's fault",
      new Fault("STORE_UNAVAILABLE", "x", { cause: new RangeError("Invalid array length") }),
      "Invalid array length",
    ],
    ["a bug among several", new AggregateError([system, new TypeError("x")], "Cannot read"), "Cannot read"],
  ])("%s", (_, error, message) => {
    expect(failureOf(error)).toMatchObject({
      error: { message, stack: expect.stringMatching(/^ {4}at .*failure\.test\.ts:\d+:\d+/) },
    });
  });

  test("a statement that is wrong, with what Postgres says of it, but not where that may quote a value", () => {
    const wrong = (sqlState: string, text: string): SqlError =>
      new SqlError(text, { outcome: "rolled_back", sqlState, cause: driver(sqlState) });
    const unknownColumn = wrong("42703", 'column "x" does not exist');
    expect(failureOf(unknownColumn)).toMatchObject({ error: { type: "SqlError", message: unknownColumn.message } });
    expect(Fault.from(unknownColumn)).toMatchObject({ code: "INTERNAL", cause: unknownColumn });
    const quoting = wrong("22P02", 'invalid input syntax for type bigint: "hunter2"');
    expect(failureOf(quoting)).toMatchObject({ error: { message: "invalid input syntax for type bigint: …" } });
  });

  test("once, however many requests it fails", () => {
    const bug = new TypeError("x is not iterable");
    const [first, second] = [0, 1].map(() => failureOf(new Fault("STORE_UNAVAILABLE", "x", { cause: bug })));
    expect(first).toMatchObject({ error: { stack: expect.stringContaining("at ") } });
    expect(second).toMatchObject({ error: { stack: "(see the first line about this error)" } });
  });
});

describe("No value gets into a log with a bug's message", () => {
  const wild = fc.oneof(
    fc.string(),
    fc.string({ unit: "grapheme" }),
    fc.constantFrom("    at x (/etc/passwd:1:1)", "\n"),
  );

  test("nor with its stack, however the value looks", () => {
    fc.assert(
      fc.property(fc.array(wild, { minLength: 1 }), fc.nat(2), (parts, place) => {
        const value = `hunter2 ${parts.join("\n    at ")} hunter2`;
        const message = [
          `Cannot use 'in' operator to search for '${value}' in ${value}`,
          value,
          `${value} is not valid`,
        ][place];
        const { error } = failureOf(new TypeError(message)) as { error: { message: string; stack: string } };
        expect(error.message).toMatch(/^(?:[(]?[A-Za-z]+[),.:;]*|…|)(?: (?:[(]?[A-Za-z]+[),.:;]*|…|))*$/);
        expect(`${error.message}\n${error.stack}`).not.toContain("hunter2");
        expect(error.stack).not.toContain("passwd");
      }),
    );
  });

  test.each<[string, () => unknown]>([
    ["JSON.parse", () => JSON.parse('{"card": hunter2}')],
    ["BigInt", () => BigInt("hunter2")],
    ["in", () => "card" in ("hunter2" as unknown as object)],
    ["new URL", () => new URL("hunter2")],
    ["Buffer", () => Buffer.from(4_111_111 as unknown as string)],
    ["reading a member", () => (undefined as unknown as Record<string, unknown>)["hunter2"]],
  ])("as V8 and Node write it: %s", (_, act) => {
    let thrown: unknown;
    try {
      act();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(Error);
    expect(JSON.stringify(failureOf(thrown))).not.toMatch(/hunter2|4111111/);
  });

  test("and a message that was changed has no stack, as nobody can tell where it ends", () => {
    const error = new TypeError("hunter2\n    at x (/etc/hunter2:1:1)");
    // Written down on first sight.
    expect(error.stack).toContain("hunter2");
    error.message = "other";
    expect(JSON.stringify(failureOf(error))).not.toContain("hunter2");
  });
});
