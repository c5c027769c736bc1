import type { Micros } from "../../core/clock.ts";

/** A place in the trail's order: by time, then by id. */
export interface Position {
  readonly at: Micros;
  /** A UUID in lower case. */
  readonly id: string;
}
