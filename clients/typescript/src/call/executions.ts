import { create, toBinary } from "@bufbuild/protobuf";
import {
  BeginExecutionRequestSchema,
  ReportOutcomeRequestSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { Deadline } from "@datacrawl/core/deadline";
import { failpoint } from "@datacrawl/core/failpoint";
import { UUID, uuidV7 } from "@datacrawl/core/ids";
import type { Breaker } from "../circuit/breaker.ts";
import type { KeptReports } from "../journal/kept-reports.ts";
import { type BypassStarts, type KeptStart, saysTheSame } from "../journal/starts.ts";
import { type AskParts, attempt, type Attempted } from "./ask.ts";
import type { ExecutionReport, GuardRefusal, GuardReported, GuardStart, ReportRefusal } from "./execution.ts";
import { NOT_A_REQUEST, type Refusal } from "./outcome.ts";
import type { RecentDecisions } from "./recent-decisions.ts";
import { type AnsweredReport, interpretReport, WIRE_OUTCOME } from "./report-answer.ts";
import { type NoAnswer, noAnswerOf } from "./result.ts";
import { type CallResult, withRetries } from "./retry.ts";
import { type AnsweredStart, interpretStart } from "./start-answer.ts";
import { type GuardCall, throughCircuit } from "./through-circuit.ts";

/** An allow under a grant that this process gave. */
export interface Bypassed {
  readonly tool: string;
  readonly idempotencyKey: string;
  /** Whether all that it needed is still so: the open circuit, the grant, and no deny of the service. */
  readonly holds: () => boolean;
}

export interface ExecutionParts extends AskParts {
  readonly agentId: string;
  readonly breaker: Breaker;
  /** The id of this process' journal. */
  readonly journalId: string;
  readonly bypasses: RecentDecisions<Bypassed>;
  /** Idempotency keys of decisions of the service's. */
  readonly keys: RecentDecisions<string>;
  readonly starts: BypassStarts;
  readonly reports: KeptReports;
  /** Given what the service has said, for a time when it cannot be asked. */
  readonly hear: (final: CallResult<Attempted<AnsweredStart>>["final"]) => void;
  /** Called with each error that should not exist. Its call starts nothing. */
  readonly onBug?: ((error: unknown) => void) | undefined;
}

/** Which decision to start. */
export interface BeginRequest {
  readonly decisionId: string;
  /** 16 bytes, for a caller that retries by itself. Default: random, for this call and its attempts. */
  readonly nonce?: Uint8Array | undefined;
}

/** A start as it is asked. */
interface Asking {
  readonly decisionId: string;
  readonly nonce: Uint8Array;
}

/** Which execution ended, and how. */
export interface ReportRequest extends ExecutionReport {
  readonly decisionId: string;
  readonly executionId: string;
}

/** Of a report's time, what is left for its file when the service does not take it. */
const WRITING_MS = 200;
/** How long a kept report may take. */
const RESEND_MS = 3000;

/** How long an execution under a bypass may run before it counts as unresolved: the service's default. */
const REPORT_DUE_MICROS = 15 * 60 * 1_000_000;

/** Starts allowed decisions, each once, and reports how they ended. */
export class Executions {
  readonly #parts: ExecutionParts;

  constructor(parts: ExecutionParts) {
    this.#parts = parts;
  }

  /** Never rejects, and never outlives the call's deadline. Whatever goes wrong starts nothing. */
  async begin({ decisionId, nonce }: BeginRequest, call: GuardCall): Promise<GuardStart> {
    const { bypasses, random, onBug } = this.#parts;
    const id = typeof decisionId === "string" ? decisionId.toLowerCase() : "";
    if (!UUID.test(id)) return refused("", no("REQUEST_REFUSED", "The decision id is not a UUID.", NOT_A_REQUEST));
    const start = { decisionId: id, nonce: nonce ?? random.take(16) };
    try {
      const bypassed = bypasses.find(id);
      if (bypassed !== null) return await this.#startBypassed(start, bypassed, call);
      return (await this.#startedUnderBypass(id, call)) ?? (await this.#ask(start, call));
    } catch (error) {
      onBug?.(error);
      return refused(id, no("REQUEST_REFUSED", "The guard failed.", NOT_A_REQUEST));
    }
  }

  /** Never rejects, and never outlives the call's deadline. The circuit has no part in it: what was done belongs in the trail. */
  async report(report: ReportRequest, call: GuardCall): Promise<GuardReported> {
    const { bypasses, onBug } = this.#parts;
    try {
      const bypassed = bypasses.find(report.decisionId);
      return bypassed === null ? await this.#send(report, call) : await this.#endBypassed(report, bypassed);
    } catch (error) {
      onBug?.(error);
      return notRecorded(no("REQUEST_REFUSED", "The report could not be read.", NOT_A_REQUEST), null);
    }
  }

  /** What was started under the same key while the service could not be asked, which it may not have heard of yet. */
  async #startedUnderBypass(decisionId: string, { deadlineAt, signal }: GuardCall): Promise<GuardStart | null> {
    const { keys, starts, clock } = this.#parts;
    const idempotencyKey = keys.find(decisionId);
    if (idempotencyKey === null) return null;
    using deadline = new Deadline(clock, deadlineAt, { signal });
    const found = await deadline.race(starts.lookup(idempotencyKey));
    if (found.kind !== "done") return refused(decisionId, no("DEADLINE_EXCEEDED", "The starts were not read in time."));
    return found.value && startedBefore(decisionId, found.value.start, null);
  }

  async #ask({ decisionId, nonce }: Asking, call: GuardCall): Promise<GuardStart> {
    const { breaker, agentId, hear } = this.#parts;
    const permit = breaker.permit();
    if (permit.kind === "denied")
      return refused(decisionId, no("CIRCUIT_OPEN", "The circuit is open, so the service was not asked."));
    failpoint("begin-asking");
    // INVARIANT: all attempts have the same nonce, so a start whose answer was lost is found again, and is one start.
    const message = toBinary(BeginExecutionRequestSchema, create(BeginExecutionRequestSchema, { decisionId, nonce }));
    const rpc = { method: "BeginExecution", message, traceparent: call.traceparent ?? null };
    const expected = { agentId, decisionId, nonce };
    return throughCircuit(
      this.#parts,
      permit,
      call,
      (deadline) => attempt(this.#parts, rpc, deadline, (reply) => interpretStart(reply, expected)),
      ({ final }) => {
        hear(final);
        failpoint("begin-answered");
        return final.kind === "answered" ? final.start : refused(decisionId, noAnswerOf(final));
      },
    );
  }

  /** The service cannot be asked: the agent's processes agree by a file beside the journal. */
  async #startBypassed(
    { decisionId, nonce }: Asking,
    bypassed: Bypassed,
    { deadlineAt, signal }: GuardCall,
  ): Promise<GuardStart> {
    const { clock, random, starts, journalId } = this.#parts;
    const over = no("CIRCUIT_OPEN", "The bypass that allowed it does not hold any more.");
    if (!bypassed.holds()) return refused(decisionId, over);
    const startedAt = clock.now();
    const executionId = uuidV7(startedAt, random);
    const { tool, idempotencyKey } = bypassed;
    const start: KeptStart = {
      decisionId,
      executionId,
      tool,
      idempotencyKey,
      nonce: Buffer.from(nonce).toString("base64"),
      startedAt,
      startedBy: journalId,
      end: null,
    };
    using deadline = new Deadline(clock, deadlineAt, { signal });
    const claiming = starts.claim(start).catch(() => "failed" as const);
    const claimed = await deadline.race(claiming);
    if (claimed.kind !== "done" || deadline.passed)
      return refused(decisionId, no("DEADLINE_EXCEEDED", "The start was not written in time."));
    if (claimed.value === "failed") return refused(decisionId, no("CIRCUIT_OPEN", "The start cannot be written."));
    if (claimed.value !== null) return startedBefore(decisionId, claimed.value.start, start.nonce);
    failpoint("bypass-started");
    // The fsync took its time. What was started and is not run stays without an end.
    return bypassed.holds() ? guardStart(start) : refused(decisionId, over);
  }

  /** Sends what the service did not take in time. To be called when it can be asked. Never rejects. */
  async sendKept(): Promise<void> {
    const { clock, reports } = this.#parts;
    for (const report of await reports.list()) {
      using deadline = new Deadline(clock, clock.monotonic() + RESEND_MS, { awaited: false });
      const final = await this.#attemptReport(report, deadline, null);
      if (final.kind !== "answered" && isPassing(final)) return;
      await reports.remove(report).catch(() => {});
    }
  }

  async #send(report: ReportRequest, { deadlineAt, signal, traceparent = null }: GuardCall): Promise<GuardReported> {
    const { clock, reports } = this.#parts;
    // What is left when it is given up is for writing it down.
    const writingMs = reports.isOpen ? Math.min(WRITING_MS, (deadlineAt - clock.monotonic()) / 2) : 0;
    using sending = new Deadline(clock, deadlineAt - writingMs, { signal });
    failpoint("report-sending");
    const attempt = () => this.#attemptReport(report, sending, traceparent);
    const { final } = await withRetries(this.#parts, sending, attempt, Number.POSITIVE_INFINITY);
    failpoint("report-answered");
    if (final.kind === "answered") return { state: "recorded", endedAt: final.endedAt, replayed: final.replayed };
    if (!isPassing(final)) return notRecorded(noAnswerOf(final), refusalOf(final));
    using writing = new Deadline(clock, deadlineAt, { signal });
    const kept = await writing.race(reports.keep(report));
    return notRecorded(noAnswerOf(final), null, kept.kind === "done" && kept.value);
  }

  async #attemptReport(
    report: ReportRequest,
    deadline: Deadline,
    traceparent: string | null,
  ): Promise<Attempted<AnsweredReport>> {
    const { decisionId, executionId, outcome, errorCode = "", durationMs, summary = "" } = report;
    const fields = { decisionId, executionId, outcome: WIRE_OUTCOME[outcome], errorCode, summary };
    const request = create(ReportOutcomeRequestSchema, fields);
    if (durationMs !== undefined) request.durationMs = BigInt(durationMs);
    const rpc = { method: "ReportOutcome", message: toBinary(ReportOutcomeRequestSchema, request), traceparent };
    return await attempt<AnsweredReport>(this.#parts, rpc, deadline, (reply) => interpretReport(reply, report));
  }

  async #endBypassed(report: ReportRequest, { idempotencyKey }: Bypassed): Promise<GuardReported> {
    const { starts, clock } = this.#parts;
    const { decisionId, executionId, ...said } = report;
    const start = (await starts.lookup(idempotencyKey))?.start ?? null;
    if (start === null || start.decisionId !== decisionId || start.executionId !== executionId)
      return notRecorded(no("REQUEST_REFUSED", "There is no such execution.", NOT_A_REQUEST), "EXECUTION_UNKNOWN");
    if (start.end !== null) {
      if (saysTheSame(start.end, said)) return { state: "recorded", endedAt: start.end.endedAt, replayed: true };
      return notRecorded(no("REQUEST_REFUSED", "Another end is on record.", NOT_A_REQUEST), "OUTCOME_CONTRADICTED");
    }
    const endedAt = clock.now();
    await starts.end(start, said, endedAt);
    return { state: "recorded", endedAt, replayed: false };
  }
}

function no(reason: GuardRefusal, message: string, refusal: Refusal | null = null): NoAnswer {
  return { reason, message, refusal };
}

function notRecorded(why: NoAnswer, reportRefusal: ReportRefusal | null, kept = false): GuardReported {
  return { state: "not_recorded", ...why, reportRefusal, kept };
}

type Unanswered = Exclude<Attempted<AnsweredReport>, { readonly kind: "answered" }>;

/** Whether the same report may be taken later. */
function isPassing(final: Unanswered): boolean {
  return final.kind === "refused" ? !final.final || final.ofAgent : final.kind !== "cancelled";
}

function refusalOf(final: Unanswered): ReportRefusal | null {
  if (final.kind !== "refused") return null;
  if (final.status === "FAILED_PRECONDITION") return "OUTCOME_CONTRADICTED";
  return final.status === "NOT_FOUND" ? "EXECUTION_UNKNOWN" : null;
}

function refused(decisionId: string, why: NoAnswer): GuardStart {
  return Object.freeze({ state: "refused", source: "guard", decisionId, ...why });
}

function guardStart({ decisionId, executionId, startedAt, startedBy }: KeptStart): GuardStart {
  return Object.freeze({
    state: "started",
    source: "guard",
    message: "The execution is started without the service: run the tool, once.",
    decisionId,
    executionId,
    startedAt,
    startedBy,
    reportDueAt: startedAt + REPORT_DUE_MICROS,
  });
}

/** Another start has the key; or it is the one with this nonce, of which the answer was lost. */
function startedBefore(decisionId: string, start: KeptStart | null, nonce: string | null): GuardStart {
  if (start !== null && start.decisionId === decisionId && start.nonce === nonce && start.end === null)
    return guardStart(start);
  return Object.freeze({
    state: "already_started",
    source: "guard",
    message: "An action under this key was started before.",
    decisionId,
    startedAt: start?.startedAt ?? null,
    startedBy: start?.startedBy ?? "",
    reportDueAt: start === null ? null : start.startedAt + REPORT_DUE_MICROS,
    end: start?.end ?? null,
  });
}
