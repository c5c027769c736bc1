import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack, AnySchema, DurationSchema } from "@bufbuild/protobuf/wkt";
import { RetryInfoSchema } from "@datacrawl/proto/google/rpc/error_details_pb";
import fc from "fast-check";
import { expect, test } from "vitest";
import { detailsOfError, detailsOfStatus, retryAfterMs } from "../../src/transport/retry-info.ts";

const retryInfo = (seconds: bigint, nanos = 0) =>
  create(RetryInfoSchema, { retryDelay: create(DurationSchema, { seconds, nanos }) });

/** A google.rpc.Status with one detail, in base64: field 3, length-delimited. */
function statusWith(seconds: bigint, nanos = 0): string {
  const any = toBinary(AnySchema, anyPack(RetryInfoSchema, retryInfo(seconds, nanos)));
  return Buffer.concat([Buffer.from([0x08, 8, 0x1a, any.length]), any]).toString("base64");
}

test("the wait that a gRPC status asks for is read in milliseconds", () => {
  expect(retryAfterMs(detailsOfStatus(statusWith(1n, 500_000_000)))).toBe(1500);
  expect(retryAfterMs(detailsOfStatus(statusWith(0n, 1)))).toBe(1);
});

test("the wait that a Connect error asks for is read in milliseconds", () => {
  const value = Buffer.from(toBinary(RetryInfoSchema, retryInfo(2n))).toString("base64");
  expect(retryAfterMs(detailsOfError([{ type: "google.rpc.RetryInfo", value }]))).toBe(2000);
});

test("a wait that is negative, or longer than a day, is not passed on", () => {
  expect(retryAfterMs(detailsOfStatus(statusWith(-1n)))).toBeNull();
  expect(retryAfterMs(detailsOfStatus(statusWith(86_401n)))).toBeNull();
});

test("details that cannot be read count as absent", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.anything(), (bytes, anything) => {
      const fromStatus = retryAfterMs(detailsOfStatus(Buffer.from(bytes).toString("base64")));
      const fromError = retryAfterMs(detailsOfError(anything));
      const known = { type: "google.rpc.RetryInfo", unverifiedValue: bytes };
      for (const wait of [fromStatus, fromError, retryAfterMs([known])])
        expect(wait === null || (wait >= 0 && wait <= 86_400_000)).toBe(true);
    }),
    { seed: 20261128, numRuns: 500 },
  );
});
