import type { Source } from "@datacrawl/core/decision";
import type {
  ExecutionOutcome,
  ExecutionRefusal,
  GuardRefusal,
  GuardReported,
  GuardStart,
  ReportRefusal,
} from "./call/execution.ts";
import type { RefusalCode } from "./call/outcome.ts";
import type { NoAnswer } from "./call/result.ts";

/** What became of a start. Frozen. Run the tool only if `state` is `"started"`: every other state means no. */
export type Start = Execution | AlreadyStarted | StartRefused;

/** An allowed decision that this call has started: run the tool, once, and report how it ended. */
export interface Execution {
  /** This call has started it. */
  readonly state: "started";
  /** The start as a sentence for people. Not stable. */
  readonly message: string;
  /** The decision that it runs. */
  readonly decisionId: string;
  /** UUID. The report names it. */
  readonly executionId: string;
  /** By the clock of the service, or of the guard that started it under a bypass. */
  readonly startedAt: Date;
  /** The public id of the credential that started it; under a bypass the id of the journal. */
  readonly startedBy: string;
  /** Without a report by then it counts as unresolved. */
  readonly reportDueAt: Date;
  /** Who keeps the start: the service, or the guard beside its journal. */
  readonly source: Source;
}

/** The decision was started before, by this agent or another process of it. The tool has run, is running, or its process has died. */
export interface AlreadyStarted {
  /** Another call has started it. */
  readonly state: "already_started";
  /** The state as a sentence for people. Not stable. */
  readonly message: string;
  /** The decision that was to be started. */
  readonly decisionId: string;
  /** Null if it is not known. */
  readonly startedAt: Date | null;
  /** The public id of the credential that started it; under a bypass the id of the journal. Empty if it is not known. */
  readonly startedBy: string;
  /** When it counts, or has counted, as unresolved without a report; null if it is not known. */
  readonly reportDueAt: Date | null;
  /** How it ended; null as long as that is not known. */
  readonly outcome: ExecutionOutcome | null;
  /** When its outcome was recorded; null before that. */
  readonly endedAt: Date | null;
  /** Who keeps the start: the service, or the guard beside its journal. */
  readonly source: Source;
}

/** The decision was not started, as far as is known. */
export interface StartRefused {
  /** Nobody is known to have started it by this call. */
  readonly state: "refused";
  /** The reason as a sentence for people. Not stable. */
  readonly message: string;
  /** The decision that was to be started. */
  readonly decisionId: string;
  /** Why the service refuses; or, as in a verdict, why it could not be asked. */
  readonly reason: ExecutionRefusal | GuardRefusal;
  /** With `REQUEST_REFUSED`, as in a verdict; else null. */
  readonly code: RefusalCode | null;
  /** How long the service asks to wait before a retry, in milliseconds; null if it does not say. */
  readonly retryAfterMs: number | null;
  /** Who refuses. */
  readonly source: Source;
}

/** What became of a report. Frozen. */
export type Reported = ReportRecorded | ReportNotRecorded;

/** The outcome is on record, by this report or by an equal one before it. */
export interface ReportRecorded {
  /** The outcome is on record. */
  readonly state: "recorded";
  /** When it was recorded, by the clock of the service or of the guard. */
  readonly endedAt: Date;
  /** It had been recorded before. */
  readonly replayed: boolean;
}

/** The outcome is not on record, as far as is known. Unless it is `kept`, the execution stays without an end, and will count as unresolved. */
export interface ReportNotRecorded {
  /** Nothing is known to be on record. */
  readonly state: "not_recorded";
  /** As in a verdict. */
  readonly reason: GuardRefusal;
  /** The reason as a sentence for people. Not stable. */
  readonly message: string;
  /** With `REQUEST_REFUSED`, as in a verdict; else null. */
  readonly code: RefusalCode | null;
  /** How long the service asks to wait before a retry, in milliseconds; null if it does not say. */
  readonly retryAfterMs: number | null;
  /** Why it will never be recorded: another outcome is, or the agent has no such execution. Else null. */
  readonly reportRefusal: ReportRefusal | null;
  /** The report is in the journal's directory, and will be sent when the service can be reached, by this process or a later one. */
  readonly kept: boolean;
}

/** A guard's start as its callers see it. */
export function startOf(start: GuardStart): Start {
  const { message, decisionId, source } = start;
  const named = { message, decisionId, source };
  switch (start.state) {
    case "started": {
      const { state, executionId, startedBy } = start;
      const times = { startedAt: dateOf(start.startedAt), reportDueAt: dateOf(start.reportDueAt) };
      return Object.freeze({ ...named, state, executionId, startedBy, ...times });
    }
    case "already_started": {
      const { state, startedBy, end } = start;
      const times = { startedAt: dateOrNull(start.startedAt), reportDueAt: dateOrNull(start.reportDueAt) };
      const ended = { outcome: end?.outcome ?? null, endedAt: dateOrNull(end?.endedAt ?? null) };
      return Object.freeze({ ...named, state, startedBy, ...times, ...ended });
    }
    case "refused":
      return Object.freeze({ ...named, state: start.state, reason: start.reason, ...codeOf(start) });
  }
}

/** What became of a guard's report as its callers see it. */
export function reportedOf(reported: GuardReported): Reported {
  if (reported.state === "recorded") return Object.freeze({ ...reported, endedAt: dateOf(reported.endedAt) });
  const { state, reason, message, reportRefusal, kept } = reported;
  return Object.freeze({ state, reason, message, ...codeOf(reported), reportRefusal, kept });
}

function codeOf({ refusal }: Pick<NoAnswer, "refusal">) {
  return { code: refusal?.code ?? null, retryAfterMs: refusal?.retryAfterMs ?? null };
}

function dateOf(micros: number): Date {
  return new Date(micros / 1000);
}

function dateOrNull(micros: number | null): Date | null {
  return micros === null ? null : dateOf(micros);
}
