import { canonicalJson } from "./canonical-json.ts";
import type { Micros } from "./clock.ts";
import { UUID } from "./ids.ts";
import { AGENT_ID } from "./names.ts";
import { type Check, type Checked, either, isCount, isPositive, literal, matching, object, text } from "./shape.ts";

/** The journal's records of layout 2: what became of actions under a bypass (docs/journal-format.md). */

interface Started {
  /** Of the bypass that allowed it. */
  readonly decisionId: string;
  /** UUID. */
  readonly executionId: string;
  readonly agentId: string;
  readonly tool: string;
  readonly idempotencyKey: string;
  /** By the guard's clock. */
  readonly startedAt: Micros;
  /** The id of the journal whose process started it. */
  readonly startedBy: string;
}

/** An action under a bypass was started. */
export interface StartRecord extends Started {
  readonly kind: "bypass_start";
}

/** It has ended, as the agent reports. Holds all that its start holds, so that it can be read without it. */
export interface EndRecord extends Started {
  readonly kind: "bypass_end";
  readonly outcome: "succeeded" | "failed" | "unknown";
  /** By the guard's clock. */
  readonly endedAt: Micros;
  readonly errorCode: string | null;
  readonly durationMs: number | null;
  readonly summary: string | null;
}

export type ExecutionRecord = StartRecord | EndRecord;

const isUuid = matching(UUID);
const everyBody = {
  decision_id: isUuid,
  execution_id: isUuid,
  agent_id: matching(AGENT_ID),
  tool: text(256),
  idempotency_key: text(256),
  started_at_us: isCount,
  started_by: isUuid,
  journal_id: isUuid,
  sequence: isPositive,
};
const isOutcome: Check<EndRecord["outcome"]> = either(
  either(literal("succeeded"), literal("failed")),
  literal("unknown"),
);
const withoutControls = matching(/^\P{Cc}*$/u);
const isErrorCode: Check<string> = (value): value is string => withoutControls(value) && text(128)(value);
const isStart = object({ kind: literal("bypass_start"), ...everyBody }, {});
const isEnd = object(
  { kind: literal("bypass_end"), outcome: isOutcome, ended_at_us: isCount, ...everyBody },
  { error_code: isErrorCode, duration_ms: isCount, summary: text(1024) },
);

/** Whether what was read from a body is a record of layout 2. */
export const isExecutionBody = either(isStart, isEnd);

/** @throws if a field has no place in a record, so also if the tool or the key cannot be kept exactly */
export function encodeExecutionBody(
  record: ExecutionRecord,
  { journalId, sequence }: { readonly journalId: string; readonly sequence: number },
): Uint8Array {
  const { decisionId, executionId, agentId, tool, idempotencyKey, startedAt, startedBy } = record;
  const started = {
    decision_id: decisionId,
    execution_id: executionId,
    agent_id: agentId,
    tool,
    idempotency_key: idempotencyKey,
    started_at_us: startedAt,
    started_by: startedBy,
    journal_id: journalId,
    sequence,
  };
  const fields =
    record.kind === "bypass_start" ? { kind: record.kind, ...started } : { ...started, ...endFields(record) };
  const wrong = (record.kind === "bypass_start" ? isStart : isEnd).wrongMember(fields);
  if (wrong !== null) throw new RangeError(`${wrong} has no place in a journal record`);
  return Buffer.from(canonicalJson(fields, "record", 3));
}

function endFields({ kind, outcome, endedAt, errorCode, durationMs, summary }: EndRecord) {
  return {
    kind,
    outcome,
    ended_at_us: endedAt,
    ...(errorCode !== null && { error_code: errorCode }),
    ...(durationMs !== null && { duration_ms: durationMs }),
    ...(summary !== null && { summary }),
  };
}

export function executionRecordOf(fields: Checked<typeof isExecutionBody>) {
  const position = { journalId: fields.journal_id, sequence: fields.sequence, coalesced: 0 };
  const started = {
    decisionId: fields.decision_id,
    executionId: fields.execution_id,
    agentId: fields.agent_id,
    tool: fields.tool,
    idempotencyKey: fields.idempotency_key,
    startedAt: fields.started_at_us,
    startedBy: fields.started_by,
  };
  if (fields.kind === "bypass_start") return { kind: fields.kind, ...started, ...position };
  const end = {
    outcome: fields.outcome,
    endedAt: fields.ended_at_us,
    errorCode: fields.error_code ?? null,
    durationMs: fields.duration_ms ?? null,
    summary: fields.summary ?? null,
  };
  return { kind: fields.kind, ...started, ...end, ...position };
}
