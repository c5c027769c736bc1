import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BinaryFields, hashBinaryRow, microsAt, uuidAt } from "../../../src/audit/row/binary-row.ts";
import { rowLine } from "../../../src/audit/row/row-line.ts";
import { hashDecision, hashEvent } from "../../../src/audit/row/hash.ts";
import {
  type Column,
  DECISION_COLUMNS_V2,
  type DecisionRow,
  EVENT_COLUMNS,
  type EventRow,
} from "../../../src/audit/row/record.ts";
import { CopyRows } from "../../../src/store/dialect/copy.ts";
import { sampleLine } from "../proof/proof-samples.ts";

const POSTGRES_EPOCH = 946_684_800_000_000n;
const HEADER = Buffer.concat([Buffer.from("PGCOPY\n\xff\r\n\0", "latin1"), Buffer.alloc(8)]);
const TRAILER = Buffer.from([0xff, 0xff]);

/** A value as Postgres sends it. */
function fieldOf(kind: Column<never>["kind"], value: unknown): Buffer | null {
  if (value === null) return null;
  if (kind === "uuid") return Buffer.from((value as string).replaceAll("-", ""), "hex");
  if (kind === "text") return Buffer.from(value as string);
  if (kind === "bytes") return Buffer.from(value as Uint8Array);
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value as number) - (kind === "micros" ? POSTGRES_EPOCH : 0n));
  return bytes;
}

function rowOf(fields: readonly (Buffer | null)[]): Buffer {
  const int = (value: number, bytes: number): Buffer => {
    const buffer = Buffer.alloc(bytes);
    buffer.writeIntBE(value, 0, bytes);
    return buffer;
  };
  const parts = fields.flatMap((field) => (field === null ? [int(-1, 4)] : [int(field.length, 4), field]));
  return Buffer.concat([int(fields.length, 2), ...parts]);
}

/** `stream` cut into chunks, whose lengths go round. */
function* chunksOf(stream: Buffer, lengths: readonly number[]): Generator<Buffer> {
  for (let at = 0, turn = 0; at < stream.length; turn++) {
    const end = at + (lengths[turn % lengths.length] as number);
    yield stream.subarray(at, end);
    at = end;
  }
}

const KIND = {
  uuid: fc.uuid(),
  text: fc.oneof(fc.string({ unit: "grapheme", maxLength: 80 }), fc.string({ unit: "binary" }), fc.json()),
  bytes: fc.uint8Array({ maxLength: 100 }),
  // From well before 2000, across the places where the low half of the number carries, to the year 4000.
  micros: fc.oneof(
    fc.integer({ min: -2_000_000_000_000_000, max: 64_000_000_000_000_000 / 8 }),
    fc.integer({ min: 0, max: 1_900_000 }).map((high) => high * 2 ** 32 - 1),
    fc.integer({ min: 0, max: 1_900_000 }).map((high) => high * 2 ** 32),
  ),
  int: fc.maxSafeInteger(),
} as const;

function rows<Row>(columns: readonly Column<Row>[]): fc.Arbitrary<Row> {
  // As often of version 1 as of version 2, in which one of two columns or both may be there.
  const rare = new Set<string>(["principal", "sessionId"]);
  const fields = columns.map(({ field, kind }) => [
    field,
    fc.option<unknown>(KIND[kind], { freq: rare.has(field) ? 1 : 5 }),
  ]);
  return fc.record(Object.fromEntries(fields)) as fc.Arbitrary<Row>;
}

describe("rows as COPY sends them", () => {
  test.each([["decisions", DECISION_COLUMNS_V2, hashDecision] as const, ["events", EVENT_COLUMNS, hashEvent] as const])(
    "of %s have the hash that was made when they were written, however the stream is cut",
    (stream, columns, hash) => {
      const row = rows<DecisionRow & EventRow>(columns);
      const lengths = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 });
      fc.assert(
        fc.property(fc.array(row, { maxLength: 5 }), lengths, (written, cuts) => {
          const sent = written.map((one) =>
            rowOf([Buffer.from("before"), ...columns.map(({ field, kind }) => fieldOf(kind, one[field as never]))]),
          );
          const hashes: Buffer[] = [];
          const copy = new CopyRows((fields: BinaryFields) => hashes.push(hashBinaryRow(stream, fields, 1)));
          for (const chunk of chunksOf(Buffer.concat([HEADER, ...sent, TRAILER]), cuts)) copy.take(chunk);
          expect(hashes).toEqual(written.map((one) => hash(one)));
        }),
      );
    },
  );

  test.each([["decisions", DECISION_COLUMNS_V2] as const, ["events", EVENT_COLUMNS] as const])(
    "of %s become the lines of an export that their JSON is",
    (stream, columns) => {
      const row = rows<DecisionRow & EventRow>(columns);
      const payload =
        stream === "events" ? fc.constant(null) : fc.option(fc.record({ salt: KIND.bytes, canonical: KIND.text }));
      fc.assert(
        fc.property(row, payload, fc.nat(), KIND.bytes, (written, kept, seq, hash) => {
          const lines: string[] = [];
          const copy = new CopyRows((fields) => lines.push(rowLine(stream, fields).toString()));
          const sent = [
            fieldOf("int", seq),
            Buffer.from(hash),
            fieldOf("bytes", kept?.salt ?? null),
            fieldOf("text", kept?.canonical ?? null),
            ...columns.map(({ field, kind }) => fieldOf(kind, written[field as never])),
          ];
          copy.take(Buffer.concat([HEADER, rowOf(sent), TRAILER]));
          expect(lines).toEqual([sampleLine({ seq, hash, stream, row: written, payload: kept })]);
        }),
      );
    },
  );

  test("have times and ids that can be told", () => {
    fc.assert(
      fc.property(KIND.micros, KIND.uuid, (at, id) => {
        expect(microsAt(fieldOf("micros", at) as Buffer, 0)).toBe(BigInt(at));
        expect(uuidAt(fieldOf("uuid", id) as Buffer, 0)).toBe(id);
      }),
    );
  });

  test("that are larger than any that is written are refused", () => {
    const fields = { bytes: Buffer.alloc(0), starts: new Int32Array(7), lengths: new Int32Array(7).fill(1 << 23) };
    expect(() => hashBinaryRow("events", fields, 0)).toThrow("a row of");
  });
});
