import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Micros } from "../../core/clock.ts";

/** The parts of a `google.protobuf.Timestamp`. */
export function secondsAndNanos(at: Micros): { seconds: number; nanos: number } {
  const seconds = Math.floor(at / 1_000_000);
  return { seconds, nanos: (at - seconds * 1_000_000) * 1000 };
}

export function timestampOf(at: Micros): Timestamp {
  const { seconds, nanos } = secondsAndNanos(at);
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos });
}
