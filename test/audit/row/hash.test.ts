import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { digestPayload, encodeDecision, hashDecision, hashEvent } from "../../../src/audit/row/hash.ts";
import {
  type Column,
  DECISION_COLUMNS_V2,
  type DecisionRow,
  EVENT_COLUMNS,
  type EventRow,
} from "../../../src/audit/row/record.ts";

interface Vectors {
  payload: { salt: string; canonical: string; digest: string };
  decisions: { name: string; row: Record<string, unknown>; encoded: string; hash: string }[];
  events: { name: string; row: Record<string, unknown>; hash: string }[];
}

const vectors = JSON.parse(readFileSync("docs/audit-vectors.json", "utf8")) as Vectors;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** A decision of either version, likewise. */
function decisionOf(json: Record<string, unknown>): DecisionRow {
  return rowOf<DecisionRow>(DECISION_COLUMNS_V2, { principal: null, session_id: null, ...json });
}

/** A row from the vectors' JSON: columns by database name, bytes in hex. */
function rowOf<Row>(columns: readonly Column<Row>[], json: Record<string, unknown>): Row {
  return Object.fromEntries(
    columns.map(({ name, field, kind }) => {
      const value = json[name];
      return [field, kind === "bytes" && value !== null ? Buffer.from(value as string, "hex") : value];
    }),
  ) as Row;
}

/** Runs a script of Python for each line of stdin, in one process. */
const FOR_EACH_LINE = `
import io, sys
script = compile(sys.argv[1], "audit-format.md", "exec")
for line in sys.stdin.read().splitlines():
    sys.stdin = io.StringIO(line)
    eval(script, {})
`;

describe("the audit format", () => {
  test.each(vectors.decisions)("vector: $name", ({ row, encoded, hash }) => {
    const decision = decisionOf(row);
    expect(hex(encodeDecision(decision))).toBe(encoded);
    expect(hex(hashDecision(decision))).toBe(hash);
  });

  test.each(vectors.events)("vector: $name", ({ row, hash }) => {
    expect(hex(hashEvent(rowOf<EventRow>(EVENT_COLUMNS, row)))).toBe(hash);
  });

  test("vector: a payload's digest", () => {
    const { salt, canonical, digest } = vectors.payload;
    expect(hex(digestPayload(Buffer.from(salt, "hex"), canonical))).toBe(digest);
  });

  test("the Python of the documentation recomputes every vector, and sees a change", () => {
    const script = /```python\n([\s\S]*?)```/.exec(readFileSync("docs/audit-format.md", "utf8"))?.[1] as string;
    const shown = vectors.decisions.flatMap(({ row, hash }) => [
      { row, hash },
      { row: { ...row, message: `${String(row["message"])}.` }, hash },
    ]);
    const input = shown.map((each) => `${JSON.stringify(each)}\n`).join("");
    const { stdout } = spawnSync("python3", ["-c", FOR_EACH_LINE, script], { input, encoding: "utf8" });
    expect(stdout.trim().split("\n")).toEqual(vectors.decisions.flatMap(() => ["hash matches", "HASH DIFFERS"]));
  });

  test("different rows have different bytes", () => {
    const base = decisionOf(vectors.decisions[0]?.row as Record<string, unknown>);
    const text = fc.option(fc.string({ maxLength: 4 }), { nil: null });
    const row = fc
      .record({ credentialId: text, ruleId: text, traceId: text, detail: text, principal: text, sessionId: text })
      .map((part) => ({ ...base, ...part }));
    fc.assert(
      fc.property(row, row, (a, b) => {
        const same = JSON.stringify(a) === JSON.stringify(b);
        expect(hex(hashDecision(a)) === hex(hashDecision(b))).toBe(same);
      }),
    );
  });

  test("a row without principal and session has the bytes of version 1, also where it lacks the columns", () => {
    const json = vectors.decisions[0]?.row as Record<string, unknown>;
    const { principal: _1, sessionId: _2, ...older } = decisionOf(json);
    expect(hex(hashDecision(older as DecisionRow))).toBe(vectors.decisions[0]?.hash);
    expect(encodeDecision(decisionOf(json)).subarray(0, 18).toString()).toBe("datacrawl.audit.v1");
  });

  test("a row larger than the scratch is encoded whole", () => {
    const base = decisionOf(vectors.decisions[0]?.row as Record<string, unknown>);
    const detail = "é".repeat(100_000);
    expect(
      encodeDecision({ ...base, detail })
        .subarray(-200_000)
        .toString(),
    ).toBe(detail);
  });
});
