import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { JournalRecord } from "../../src/core/journal-format.ts";
import {
  encodeEntry,
  encodeLine,
  hex,
  type JournalEntry,
  MAX_BODY_BYTES,
  MAX_EXECUTION_BODY_BYTES,
  NO_HASH,
  readBody,
  readEntry,
  readSegment,
} from "../../src/core/journal-format.ts";
import {
  agentId,
  bypass,
  bypassEnd,
  bypassStart,
  deny,
} from "../../clients/typescript/test/support/journal-samples.ts";

import { amount } from "../support/amount.ts";

const journalId = "7b0c2c1e-3a54-4f2e-8d25-0c6a1f0f9b11";

function chain(records: readonly JournalRecord[]): JournalEntry[] {
  const entries: JournalEntry[] = [];
  for (const record of records) {
    const next = { journalId, sequence: entries.length + 1, coalesced: 0 };
    entries.push(encodeEntry(record, next, entries.at(-1)?.hash ?? NO_HASH));
  }
  return entries;
}

function fileOf(entries: readonly JournalEntry[]): Buffer {
  return Buffer.concat(entries.map(encodeLine));
}

function hashes(entries: readonly JournalEntry[]): string[] {
  return entries.map(({ hash }) => hex(hash));
}

/** A line that is right in itself, over any body. */
function lineOver(body: string, previousHash: Uint8Array, layout = 1): Buffer {
  const hash = createHash("sha256").update(`datacrawl.journal.v${layout}`).update(previousHash).update(body).digest();
  return Buffer.from(`${hex(previousHash)} ${hex(hash)} ${body}\n`);
}

const position = { journalId, sequence: 1, coalesced: 0 };

/** A row of lines, read: sequence numbers, and how it ends. */
function read(...lines: readonly Buffer[]): [number[], string] {
  const content = readSegment(Buffer.concat(lines), journalId, agentId);
  return [content.entries.map(({ sequence }) => sequence), content.end];
}

/** A body with these fields, in canonical order. */
function bytesOf(fields: Record<string, unknown>): Buffer {
  return Buffer.from(
    JSON.stringify(Object.fromEntries(Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1)))),
  );
}

const entries = chain([
  deny(),
  bypass({ message: 'with "braces" } and\n{ breaks' }),
  deny({ tool: "gmail.send", errors: ["x"] }),
  bypassStart(),
  bypassEnd(),
]);
const file = fileOf(entries);
const lines = {
  first: fileOf(entries.slice(0, 1)),
  second: fileOf(entries.slice(1, 2)),
  third: fileOf(entries.slice(2, 3)),
};
const ends = entries.map((_, index) => fileOf(entries.slice(0, index + 1)).length);

describe("a journal file", () => {
  test("whole, is read back whole", () => {
    const content = readSegment(file, journalId, agentId);
    expect(content.end).toBe("whole");
    expect(content.entries).toEqual(
      entries.map((entry) => ({ ...entry, previousHash: Buffer.from(entry.previousHash) })),
    );
    expect(readSegment(new Uint8Array(), journalId, agentId)).toEqual({ entries: [], end: "whole" });
  });

  test("cut anywhere, keeps every record that is complete, and is damaged nowhere", () => {
    for (let length = 0; length < file.length; length++) {
      const content = readSegment(file.subarray(0, length), journalId, agentId);
      // A record is complete when only its line feed is missing.
      const complete = ends.filter((end) => length >= end - 1).length;
      expect(hashes(content.entries), `cut at ${length}`).toEqual(hashes(entries).slice(0, complete));
      expect(content.end, `cut at ${length}`).toBe(
        ends.some((end) => length === end || length === end - 1) || length === 0 ? "whole" : "torn",
      );
    }
  });

  test("with any one bit flipped, keeps every record before it, accepts no other, and says that it is not whole", () => {
    for (let at = 0; at < file.length; at++) {
      const before = ends.filter((end) => end <= at).length;
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Buffer.from(file);
        flipped.writeUInt8(file.readUInt8(at) ^ (1 << bit), at);
        const content = readSegment(flipped, journalId, agentId);
        // The file's last line feed says nothing that its record does not.
        const kept = at === file.length - 1 ? entries.length : before;
        expect(hashes(content.entries), `byte ${at}, bit ${bit}`).toEqual(hashes(entries).slice(0, kept));
        expect(content.end).toBe(kept < entries.length ? "damaged" : "whole");
      }
    }
  });

  test("altered in any way, gives a prefix of what was written", () => {
    const edit = fc.record({
      at: fc.nat(file.length),
      remove: fc.nat(file.length),
      insert: fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        fc.constant(file),
        fc.constantFrom(...entries.map(encodeLine)),
      ),
    });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        const altered = edits.reduce(
          (bytes, { at, remove, insert }) =>
            Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]),
          file,
        );
        const content = readSegment(altered, journalId, agentId);
        const from = hashes(entries).indexOf(hashes(content.entries)[0] ?? "");
        expect(hashes(content.entries)).toEqual(
          from < 0 ? [] : hashes(entries).slice(from, from + content.entries.length),
        );
      }),
      { numRuns: amount(1000, 30_000) },
    );
  });

  test("of any bytes, is read without an error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500, size: "max" }), (bytes) => {
        expect(readSegment(bytes, journalId, agentId).entries).toEqual([]);
      }),
    );
  });

  test("may start in mid-journal, but not skip, repeat or reorder", () => {
    const { first, second, third } = lines;
    expect(read(second, third)).toEqual([[2, 3], "whole"]);
    expect(read(first, third)).toEqual([[1], "damaged"]);
    expect(read(first, first, second)).toEqual([[1], "damaged"]);
    expect(read(first, third, second)).toEqual([[1], "damaged"]);
    expect(read(second, first)).toEqual([[2], "damaged"]);
  });

  test("of another journal or agent gives nothing", () => {
    expect(readSegment(file, "7b0c2c1e-3a54-4f2e-8d25-0c6a1f0f9b12", agentId)).toEqual({ entries: [], end: "damaged" });
    expect(readSegment(file, journalId, "billing-2")).toEqual({ entries: [], end: "damaged" });
  });

  test("with well-hashed lines whose bodies are no records, or out of order, gives nothing of them", () => {
    const body = lines.first.subarray(130, -1).toString();
    const hash = entries[0]?.hash ?? NO_HASH;
    const next = body.replace('"sequence":1', '"sequence":2');
    expect(read(lines.first, lineOver(next, hash))).toEqual([[1, 2], "whole"]);
    expect(read(lines.first, lineOver(next.replace('"sequence":2', '"sequence":3'), hash))).toEqual([[1], "damaged"]);
    expect(read(lines.first, lineOver(next, NO_HASH))).toEqual([[1], "damaged"]);
    expect(read(lines.first, lineOver("{}", hash))).toEqual([[1], "damaged"]);
    expect(read(lineOver(body, hash))).toEqual([[], "damaged"]);
  });
});

describe("a record's body", () => {
  test("holds what was recorded", () => {
    const record = bypass({ errors: ["refused", "reset"], attempts: 3 });
    const { body } = encodeEntry(record, { journalId, sequence: 7, coalesced: 12 }, NO_HASH);
    expect(readBody(body)).toEqual({ ...record, journalId, sequence: 7, coalesced: 12 });
  });

  test("fits its bound and is read back, whatever was to be denied", () => {
    const wild = fc.string({ unit: "binary", maxLength: 700, size: "max" });
    const escaped = fc.constantFrom(
      "\u0001".repeat(700),
      '"'.repeat(700),
      "\\".repeat(700),
      "\ud800".repeat(700),
      "🚚".repeat(300),
    );
    const text = fc.oneof(wild, escaped);
    fc.assert(
      fc.property(text, text, text, fc.array(text, { maxLength: 8 }), (tool, idempotencyKey, message, errors) => {
        const record = deny({ tool, idempotencyKey, message, errors });
        const { body } = encodeEntry(record, position, NO_HASH);
        expect(body.length).toBeLessThanOrEqual(MAX_BODY_BYTES);
        expect(readBody(body)).toMatchObject({ kind: "deny", sequence: 1 });
      }),
      { numRuns: amount(150, 5000) },
    );
  });

  test.each([
    ["a tool over 256 bytes", { tool: "é".repeat(129) }, "exactly"],
    ["a tool with NUL", { tool: "a\0b" }, "exactly"],
    ["a key with a lone surrogate", { idempotencyKey: "\ud800" }, "exactly"],
    ["a grant id that is none", { grantId: "x" }, "grant_id"],
    ["a decision id that is none", { decisionId: "x" }, "decision_id"],
    ["a time that is no integer", { decidedAt: 0.5 }, "decided_at_us"],
  ])("is not made for a bypass with %s", (_, changes, problem) => {
    expect(() => encodeEntry(bypass(changes), position, NO_HASH)).toThrow(problem);
  });

  const fields = {
    agent_id: agentId,
    decided_at_us: 1_770_000_000_000_001,
    decision_id: "0b7d1f0e-6c1f-4a55-9c3e-2f5a9d1c7e12",
    grant_id: "0b7d1f0e-6c1f-4a55-9c3e-2f5a9d1c7e11",
    idempotency_key: "refund-17",
    journal_id: journalId,
    kind: "bypass_allow",
    message: "Allowed.",
    reason: "CIRCUIT_BYPASS",
    request_digest: "ab".repeat(32),
    sequence: 1,
    tool: "stripe.refund",
  };

  test("the control: these fields are a record", () => {
    expect(readBody(bytesOf(fields))).toHaveProperty("kind", "bypass_allow");
  });

  test.each<[string, Buffer]>([
    ["no JSON", Buffer.from("{")],
    ["no UTF-8", Buffer.concat([bytesOf(fields), Buffer.of(0xff)])],
    ["a byte order mark", Buffer.concat([Buffer.of(0xef, 0xbb, 0xbf), bytesOf(fields)])],
    ["white space", Buffer.from(JSON.stringify(JSON.parse(bytesOf(fields).toString()), null, 1))],
    ["a name twice", Buffer.from(bytesOf(fields).toString().replace("{", '{"agent_id":"evil",'))],
    ["a field too many", bytesOf({ ...fields, payload: "secret" })],
    ["a field too few", bytesOf({ ...fields, decision_id: undefined })],
    ["another kind", bytesOf({ ...fields, kind: "allow" })],
    ["a bypass without a grant", bytesOf({ ...fields, grant_id: undefined })],
    ["a bypass by rule", bytesOf({ ...fields, reason: "RULE_ALLOWED" })],
    ["a deny that allows", bytesOf({ ...fields, kind: "deny", grant_id: undefined, reason: "RULE_ALLOWED" })],
    ["a deny by bypass", bytesOf({ ...fields, kind: "deny", grant_id: undefined })],
    ["an unknown reason", bytesOf({ ...fields, kind: "deny", grant_id: undefined, reason: "toString" })],
    ["a sequence below 1", bytesOf({ ...fields, sequence: 0 })],
    ["a digest that is none", bytesOf({ ...fields, request_digest: "AB".repeat(32) })],
    ["too many errors", bytesOf({ ...fields, errors: ["1", "2", "3", "4", "5", "6"] })],
    ["too many bytes", bytesOf({ ...fields, message: "x".repeat(9000) })],
  ])("with %s is none", (_, body) => {
    expect(readBody(body)).toHaveProperty("problem");
  });
});

describe("an uploaded entry", () => {
  const entry = encodeEntry(bypass(), position, NO_HASH);

  test("that is sound is its record", () => {
    expect(readEntry(entry, agentId)).toEqual({ ...readBody(entry.body), sequence: 1 });
    expect(readEntry(entry, agentId)).toHaveProperty("kind", "bypass_allow");
  });

  test.each<[string, Partial<JournalEntry>]>([
    ["another hash", { hash: Buffer.alloc(32) }],
    ["a hash cut short", { hash: entry.hash.subarray(1) }],
    ["another previous hash", { previousHash: Buffer.alloc(32, 1) }],
    // The same bytes to hash, with the border elsewhere.
    [
      "a previous hash too long",
      { previousHash: Buffer.concat([NO_HASH, entry.body.subarray(0, 1)]), body: entry.body.subarray(1) },
    ],
    ["another body", { body: Buffer.from(Buffer.from(entry.body).toString().replace("refund", "payout")) }],
    ["another place", { sequence: 2 }],
    ["another journal", { journalId: "7b0c2c1e-3a54-4f2e-8d25-0c6a1f0f9b12" }],
    ["no record", encodeNoRecord()],
  ])("with %s is none", (_, changes) => {
    expect(readEntry({ ...entry, ...changes }, agentId)).toHaveProperty("problem");
  });

  test("of another agent is none", () => {
    expect(readEntry(entry, "billing-2")).toEqual({ problem: "the record is of another agent" });
  });
});

/** Something else than a record, rightly hashed. */
function encodeNoRecord(): Partial<JournalEntry> {
  const line = lineOver("{}", NO_HASH).toString();
  return { hash: Buffer.from(line.slice(65, 129), "hex"), body: Buffer.from("{}") };
}

describe("a record of layout 2", () => {
  const start = bypassStart();
  const end = bypassEnd();

  test.each([
    ["a start", start],
    ["an end", end],
    ["an end without facts", bypassEnd({ errorCode: null, durationMs: null, summary: null })],
  ])("holds what was recorded: %s", (_, record) => {
    const { body } = encodeEntry(record, { journalId, sequence: 7, coalesced: 12 }, NO_HASH);
    expect(readBody(body)).toEqual({ ...record, journalId, sequence: 7, coalesced: 0 });
    expect(body.toString()).toBe(bytesOf(JSON.parse(Buffer.from(body).toString()) as object as never).toString());
  });

  test("is hashed under its own name, and under no other", () => {
    const { body } = encodeEntry(start, position, NO_HASH);
    const text = Buffer.from(body).toString();
    expect(read(lineOver(text, NO_HASH, 2))).toEqual([[1], "whole"]);
    expect(read(lineOver(text, NO_HASH, 1))).toEqual([[], "damaged"]);
    const denied = Buffer.from(encodeEntry(deny(), position, NO_HASH).body).toString();
    expect(read(lineOver(denied, NO_HASH, 2))).toEqual([[], "damaged"]);
  });

  test("fits its bound, whatever may be reported", () => {
    const record = bypassEnd({
      tool: '"'.repeat(256),
      idempotencyKey: "\u0001".repeat(256),
      summary: "\u0001".repeat(1024),
      errorCode: '"'.repeat(128),
    });
    const { body } = encodeEntry(record, position, NO_HASH);
    expect(body.length).toBeLessThanOrEqual(MAX_EXECUTION_BODY_BYTES);
    expect(readBody(body)).toHaveProperty("kind", "bypass_end");
  });

  test.each<[string, JournalRecord, string]>([
    ["a tool over 256 bytes", bypassStart({ tool: "é".repeat(129) }), "tool"],
    ["a key with a lone surrogate", bypassStart({ idempotencyKey: "\ud800" }), "lone surrogate"],
    ["a decision id that is none", bypassStart({ decisionId: "x" }), "decision_id"],
    ["an outcome that is none", bypassEnd({ outcome: "done" as never }), "outcome"],
    ["an error code with a line break", bypassEnd({ errorCode: "a\nb" }), "error_code"],
    ["a summary over 1,024 bytes", bypassEnd({ summary: "x".repeat(1025) }), "summary"],
    ["half a millisecond", bypassEnd({ durationMs: 0.5 }), "duration_ms"],
  ])("is not made with %s", (_, record, problem) => {
    expect(() => encodeEntry(record, position, NO_HASH)).toThrow(problem);
  });

  const fields = JSON.parse(Buffer.from(encodeEntry(end, position, NO_HASH).body).toString()) as object;

  test("the control: these fields are a record", () => {
    expect(readBody(bytesOf({ ...fields }))).toHaveProperty("kind", "bypass_end");
  });

  test.each<[string, Record<string, unknown>]>([
    ["a field too many", { ...fields, nonce: "AA==" }],
    ["no outcome", { ...fields, outcome: undefined }],
    ["an outcome in a start", { ...fields, kind: "bypass_start" }],
    ["another kind", { ...fields, kind: "start" }],
    ["an id in capitals", { ...fields, execution_id: "019C2F4E-7D11-7B3A-9C55-2F0E8A1B6C3E" }],
    ["a count of denies", { ...fields, coalesced: 1 }],
    ["a sequence below 1", { ...fields, sequence: 0 }],
    ["a key over 256 bytes", { ...fields, idempotency_key: "k".repeat(257) }],
  ])("with %s is none", (_, changed) => {
    expect(readBody(bytesOf(changed))).toHaveProperty("problem");
  });
});

test("the worked examples of docs/journal-format.md are right, and so is the chain of the second part", () => {
  const text = readFileSync("docs/journal-format.md", "utf8");
  const [first = "", ...second] = [...text.matchAll(/^[0-9a-f]{64} [0-9a-f]{64} \{.*\}$/gm)].map(
    ([line]) => `${line}\n`,
  );
  expect(readSegment(Buffer.from(first), journalId, agentId)).toMatchObject({
    entries: [{ sequence: 1 }],
    end: "whole",
  });
  expect(second).toHaveLength(2);
  expect(readSegment(Buffer.from(first + second.join("")), journalId, agentId)).toMatchObject({
    entries: [{ sequence: 1 }, { sequence: 2 }, { sequence: 3 }],
    end: "whole",
  });
});
