import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";

/** ISO 8601 in UTC; null if absent. For JSON. */
export function timeOrNull(time: Timestamp | undefined): string | null {
  return time === undefined ? null : timestampDate(time).toISOString();
}

/** The same for people; empty if absent. */
export function timeText(time: Timestamp | undefined): string {
  return timeOrNull(time) ?? "";
}
