import { createBegin } from "../../src/authorize/begin.ts";
import type { Call } from "../../src/authorize/call.ts";
import type {
  BeginAnswer,
  ReportAnswer,
  UnverifiedBegin,
  UnverifiedReport,
} from "../../src/authorize/execution-call.ts";
import { createReport } from "../../src/authorize/report.ts";
import type { UploadedEnd, UploadedNote, UploadedRecord, UploadedStart } from "../../src/store/guard-executions.ts";
import type { HashedEvent } from "../../src/audit/row/event.ts";
import type { EventRow } from "../../src/audit/row/record.ts";
import type { Fault } from "../../src/core/fault.ts";
import type { Execution } from "../../src/execution/execution.ts";
import type { Review } from "../../src/review/review.ts";
import { AGENT, callWith, FakeAgents, FakePolicy, keys, random, recoveryCheck, SAME, STORE_TIME } from "./fakes.ts";
import type { StartableDecision } from "../../src/execution/startable.ts";
import type { EndEntry, StartEntry } from "../../src/store/execution-entries.ts";

export const DECISION = "0195e0b2-7a3b-7c1d-8a2b-1234567890ab";
export const OTHER_ID = "0195e0b2-7a3b-7c1d-8a2b-0000000000ff";
export const BEGIN_NONCE = Buffer.alloc(16, 9);
export const DAY = 24 * 3600 * 1_000_000;
export const TIMEOUT = 900 * 1_000_000;

/** A decision of {@link AGENT}'s that may be started. */
export function startable(change: Partial<StartableDecision> = {}): StartableDecision {
  return {
    decisionId: DECISION,
    recordedAt: STORE_TIME - 1000,
    source: "service",
    agentId: AGENT,
    tool: "stripe.refund",
    idempotencyKey: "refund-17",
    reason: "RULE_ALLOWED",
    message: "Allowed.",
    ruleId: "refund-small",
    policyVersion: "sha256:earlier",
    decidedAt: STORE_TIME - 1000,
    linkedDecisionId: null,
    requestDigest: SAME,
    expiresAt: STORE_TIME + DAY,
    bypassedDecisionId: null,
    ...change,
  };
}

/** A start of {@link DECISION} by the nonce that the tests begin with. */
export function execution(change: Partial<Execution> = {}): Execution {
  return {
    decisionId: DECISION,
    executionId: "0195e0b2-7a3b-7c1d-8a2b-00000000000e",
    agentId: AGENT,
    tool: "stripe.refund",
    idempotencyKey: "refund-17",
    nonce: BEGIN_NONCE,
    startedAt: STORE_TIME - 500,
    startedBy: "key-1",
    reportDueAt: STORE_TIME - 500 + TIMEOUT,
    end: null,
    ...change,
  };
}

/** The executions of one store, as the writers and the readers see them. */
export class FakeExecutions {
  decision: StartableDecision | null = startable();
  execution: Execution | null = null;
  readonly events: EventRow[] = [];
  /** What the next write rejects with, after it has been done if `persists`. */
  failure: { readonly error: Error; readonly persists: boolean } | null = null;
  /** What happens between a read and what follows on it. */
  afterRead: (() => Promise<void>) | null = null;
  /** What reading rejects with. */
  unreadable: Error | null = null;

  async findDecision(): Promise<StartableDecision | null> {
    if (this.unreadable !== null) throw this.unreadable;
    return this.decision;
  }

  async find(_decisionId: string): Promise<Execution | null> {
    if (this.unreadable !== null) throw this.unreadable;
    const read = this.execution;
    await this.afterRead?.();
    return read;
  }

  readonly starts = {
    record: (entry: StartEntry): Promise<true | null> =>
      this.#write(this.execution === null, entry.event.row, () => {
        this.execution = { ...entry.execution, end: null };
      }),
  };

  readonly ends = {
    record: ({ end, event }: EndEntry): Promise<true | null> =>
      this.#write(this.execution?.end === null, event.row, () => {
        this.execution = { ...(this.execution as Execution), end };
      }),
  };

  async append({ row }: { readonly row: EventRow }): Promise<void> {
    this.events.push(row);
  }

  async #write(isFirst: boolean, event: EventRow, change: () => void): Promise<true | null> {
    const { failure } = this;
    this.failure = null;
    if (failure !== null && !failure.persists) throw failure.error;
    if (isFirst) {
      change();
      this.events.push(event);
    }
    if (failure !== null) throw failure.error;
    return isFirst ? true : null;
  }
}

/** What guards have uploaded of executions, in one store. */
export class FakeUploads {
  readonly executions = new Map<string, Execution>();
  readonly events: EventRow[] = [];
  /** Hashes in hex. */
  readonly records: string[] = [];
  /** By key, a decision that was started under it. */
  readonly keys = new Map<string, string>();
  /** What the next write of that kind rejects with. */
  failure: { readonly at: "starts" | "ends" | "notes"; readonly error: Error } | null = null;

  async findAll(decisionIds: readonly string[]): Promise<ReadonlyMap<string, Execution>> {
    return new Map([...this.executions].filter(([id]) => decisionIds.includes(id)));
  }

  async startedKeys(): Promise<ReadonlyMap<string, string>> {
    return this.keys;
  }

  async recordStarts(entries: readonly UploadedStart[]): Promise<ReadonlySet<string>> {
    this.#fail("starts");
    const fresh = entries.filter(({ execution }) => !this.executions.has(execution.decisionId));
    for (const { execution, event, record } of fresh) {
      this.executions.set(execution.decisionId, { ...execution, end: null });
      this.#note(event, record);
    }
    return new Set(fresh.map(({ execution }) => execution.executionId));
  }

  async recordEnds(entries: readonly UploadedEnd[]): Promise<ReadonlySet<string>> {
    this.#fail("ends");
    const fresh = entries.filter(({ execution }) => this.executions.get(execution.decisionId)?.end === null);
    for (const { execution, end, event, record } of fresh) {
      this.executions.set(execution.decisionId, { ...(this.executions.get(execution.decisionId) as Execution), end });
      this.#note(event, record);
    }
    return new Set(fresh.map(({ event }) => event.row.eventId));
  }

  async recordNotes(entries: readonly UploadedNote[]): Promise<void> {
    this.#fail("notes");
    for (const { event, record } of entries) this.#note(event, record);
  }

  #note(event: HashedEvent | null, record: UploadedRecord | null): void {
    if (event !== null) this.events.push(event.row);
    if (record !== null) this.records.push(Buffer.from(record.hash).toString("hex"));
  }

  #fail(at: "starts" | "ends" | "notes"): void {
    if (this.failure?.at !== at) return;
    const { error } = this.failure;
    this.failure = null;
    throw error;
  }
}

/** BeginExecution and ReportOutcome over fakes. */
export function executionWorld() {
  const agents = new FakeAgents();
  const policy = Object.assign(new FakePolicy(), {
    /** By rule. */
    executionMicros: new Map<string, number>(),
    executionMicrosOf: (ruleId: string): number | null => policy.executionMicros.get(ruleId) ?? null,
  });
  const executions = new FakeExecutions();
  const world = {
    agents,
    policy,
    executions,
    /** The review of the decision. */
    review: null as Review | null,
    recovery: { checks: 0, from: Number.POSITIVE_INFINITY },
    voidBefore: 0,
    /** What the process remembers of the decision; null if nothing. */
    recent: null as StartableDecision | null,
    refusals: [] as Fault[],
    answers: [] as (BeginAnswer | ReportAnswer)[],
    begin,
    report,
  };
  const shared = {
    agents,
    admit: () => {},
    checkRecovery: recoveryCheck(world.recovery),
    refused: (fault: Fault) => void world.refusals.push(fault),
    policy: () => policy,
    executions,
    events: executions,
    keys,
    random,
    monotonic: () => Date.now(),
    now: () => STORE_TIME,
  };
  const beginExecution = createBegin({
    ...shared,
    starts: executions.starts,
    reviews: { currentReview: async () => world.review },
    executionMicros: TIMEOUT,
    recent: { find: () => world.recent },
    decisionsVoidBefore: () => world.voidBefore,
    begun: (answer) => void world.answers.push(answer),
  });
  const reportOutcome = createReport({
    ...shared,
    ends: executions.ends,
    reported: (answer) => void world.answers.push(answer),
  });

  function begin(change: Partial<UnverifiedBegin> = {}, call: Partial<Call<UnverifiedBegin>> = {}) {
    return beginExecution(callWith(() => ({ decisionId: DECISION, nonce: BEGIN_NONCE, ...change }), call));
  }

  function report(change: Partial<UnverifiedReport> = {}, call: Partial<Call<UnverifiedReport>> = {}) {
    const said: UnverifiedReport = {
      decisionId: DECISION,
      executionId: execution().executionId,
      outcome: "succeeded",
      errorCode: "",
      durationMs: null,
      summary: "",
      ...change,
    };
    return reportOutcome(callWith(() => said, call));
  }

  return world;
}
