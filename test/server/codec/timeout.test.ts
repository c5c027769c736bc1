import * as fc from "fast-check";
import { expect, test } from "vitest";
import { connectTimeoutMs, grpcTimeoutMs } from "../../../src/server/codec/timeout.ts";

test.each([
  ["0m", 0],
  ["1H", 3_600_000],
  ["2M", 120_000],
  ["99999999S", 99_999_999_000],
  ["100m", 100],
  ["1500u", 1.5],
  ["1000000n", 1],
])("grpc-timeout %s is %d ms", (header, milliseconds) => {
  expect(grpcTimeoutMs(header)).toBeCloseTo(milliseconds, 9);
});

test.each([
  "",
  "5",
  "S",
  "100000000S",
  "-5S",
  "+5S",
  "5s",
  "5 S",
  " 5S",
  "5S ",
  "5S, 5S",
  "5.5S",
  "1e3S",
  "0x5S",
  "5SS",
  "٥S",
])("grpc-timeout %j is none", (header) => expect(grpcTimeoutMs(header)).toBeNull());

test("any text is a grpc-timeout exactly if it is one to eight digits and a unit", () => {
  const likely = fc.stringMatching(/^[-+ 0-9.]{0,10}[HMSmunhx ]{0,2}$/);
  fc.assert(
    fc.property(fc.oneof(fc.string(), likely), (text) => {
      expect(grpcTimeoutMs(text) !== null).toBe(/^[0-9]{1,8}[HMSmun]$/.test(text));
    }),
    { numRuns: 2000 },
  );
});

test("connect-timeout-ms is at most ten digits", () => {
  expect(["0", "5000", "9999999999"].map(connectTimeoutMs)).toEqual([0, 5000, 9_999_999_999]);
  for (const header of ["", "10000000000", "-1", "+1", "1.5", "1e9", "0x10", " 1", "1 ", "1, 1", "Infinity"])
    expect(connectTimeoutMs(header), header).toBeNull();
});
