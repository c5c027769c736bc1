import { create, toBinary } from "@bufbuild/protobuf";
import {
  BeginExecutionRequestSchema,
  ReportOutcomeRequestSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { Deadline } from "@datacrawl/core/deadline";
import { failpoint } from "@datacrawl/core/failpoint";
import { UUID, uuidV7 } from "@datacrawl/core/ids";
import type { Breaker } from "../circuit/breaker.ts";
import { type BypassStarts, type KeptStart, saysTheSame } from "../journal/starts.ts";
import { type AskParts, attempt, type Attempted } from "./ask.ts";
import type { ExecutionReport, GuardRefusal, GuardReported, GuardStart } from "./execution.ts";
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
      return { state: "not_recorded", ...no("REQUEST_REFUSED", "The report could not be read.", NOT_A_REQUEST) };
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

  async #send(report: ReportRequest, { deadlineAt, signal, traceparent = null }: GuardCall): Promise<GuardReported> {
    const { clock } = this.#parts;
    const { decisionId, executionId, outcome, errorCode = "", durationMs, summary = "" } = report;
    const fields = { decisionId, executionId, outcome: WIRE_OUTCOME[outcome], errorCode, summary };
    const request = create(ReportOutcomeRequestSchema, fields);
    if (durationMs !== undefined) request.durationMs = BigInt(durationMs);
    const rpc = { method: "ReportOutcome", message: toBinary(ReportOutcomeRequestSchema, request), traceparent };
    failpoint("report-sending");
    using deadline = new Deadline(clock, deadlineAt, { signal });
    const { final } = await withRetries(this.#parts, deadline, () =>
      attempt<AnsweredReport>(this.#parts, rpc, deadline, (reply) => interpretReport(reply, report)),
    );
    failpoint("report-answered");
    if (final.kind !== "answered") return { state: "not_recorded", ...noAnswerOf(final) };
    return { state: "recorded", endedAt: final.endedAt, replayed: final.replayed };
  }

  async #endBypassed(report: ReportRequest, { idempotencyKey }: Bypassed): Promise<GuardReported> {
    const { starts, clock } = this.#parts;
    const { decisionId, executionId, ...said } = report;
    const start = (await starts.lookup(idempotencyKey))?.start ?? null;
    if (start === null || start.decisionId !== decisionId || start.executionId !== executionId)
      return { state: "not_recorded", ...no("REQUEST_REFUSED", "There is no such execution.", NOT_A_REQUEST) };
    if (start.end !== null) {
      if (saysTheSame(start.end, said)) return { state: "recorded", endedAt: start.end.endedAt, replayed: true };
      return { state: "not_recorded", ...no("REQUEST_REFUSED", "Another end is on record.", NOT_A_REQUEST) };
    }
    const endedAt = clock.now();
    await starts.end(start, said, endedAt);
    return { state: "recorded", endedAt, replayed: false };
  }
}

function no(reason: GuardRefusal, message: string, refusal: Refusal | null = null): NoAnswer {
  return { reason, message, refusal };
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
