import * as wire from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import type { Micros } from "@datacrawl/core/clock";
import { Undecodable } from "@datacrawl/core/undecodable";
import type { Reply } from "../transport/transport.ts";
import type { ExecutionOutcome } from "./execution.ts";
import { decodeFields, type Fields } from "./message.ts";
import { type Failure, malformed } from "./outcome.ts";

/** What a report said. An answer that does not repeat all of it is not an answer to this report. */
export interface ExpectedReport {
  readonly decisionId: string;
  readonly executionId: string;
  readonly outcome: ExecutionOutcome;
}

/** The report is on record. */
export interface AnsweredReport {
  readonly kind: "answered";
  readonly endedAt: Micros;
  readonly replayed: boolean;
}

/** A ReportOutcomeResponse as decoded. */
interface UnverifiedReported {
  readonly decisionId: string;
  readonly executionId: string;
  readonly outcome: number;
  readonly endedAt: Micros | null;
  readonly replayed: number;
}

const FIELDS: Fields<UnverifiedReported> = new Map([
  [1, ["decisionId", "string"]],
  [2, ["executionId", "string"]],
  [3, ["outcome", "number"]],
  [4, ["endedAt", "timestamp"]],
  [5, ["replayed", "number"]],
]);
const ABSENT: UnverifiedReported = { decisionId: "", executionId: "", outcome: 0, endedAt: null, replayed: 0 };

/** Outcomes as they are on the wire. */
export const WIRE_OUTCOME = {
  succeeded: wire.Outcome.SUCCEEDED,
  failed: wire.Outcome.FAILED,
  unknown: wire.Outcome.UNKNOWN,
} as const satisfies Record<ExecutionOutcome, wire.Outcome>;

/** What the service said to a report, if it said that this very report is on record; else malformed. */
export function interpretReport(reply: Reply, expected: ExpectedReport): AnsweredReport | Failure {
  if (reply.kind !== "messages") return reply;
  try {
    const unverified = decodeFields(reply.unverifiedMessages[0] as Uint8Array, FIELDS, ABSENT);
    const { endedAt, replayed } = unverified;
    const isEcho =
      unverified.decisionId === expected.decisionId &&
      unverified.executionId === expected.executionId &&
      unverified.outcome === WIRE_OUTCOME[expected.outcome];
    if (!isEcho) return malformed("the answer is for another report");
    if (endedAt === null || replayed > 1) return malformed("the answer does not say when the report was recorded");
    return { kind: "answered", endedAt, replayed: replayed === 1 };
  } catch (error) {
    if (error instanceof Undecodable) return malformed(`the answer ${error.message}`);
    throw error;
  }
}
