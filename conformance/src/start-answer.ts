/** A right answer to BeginExecution, and the same with something changed. */
import { concat, lenField, varintField } from "./protobuf.ts";
import type { Question } from "./question.ts";

/** A BeginExecutionResponse. Enums are their numbers, known or not; null leaves the field out. */
export interface StartFields {
  readonly reason: number | null;
  readonly message: string;
  readonly decisionId: string;
  readonly nonce: Uint8Array;
  readonly agentId: string;
  readonly executionId: string;
  /** Times in seconds since 1970. */
  readonly startedAt: number | null;
  readonly startedBy: string;
  readonly outcome: number | null;
  readonly endedAt: number | null;
  readonly reportDueAt: number | null;
  readonly source: number | null;
  readonly state: number | null;
}

export const STATE = { unspecified: 0, started: 1, alreadyStarted: 2, refused: 4 } as const;

/** Field numbers of BeginExecutionResponse. */
export const START_FIELD = {
  reason: 1,
  message: 2,
  decisionId: 3,
  nonce: 4,
  agentId: 5,
  executionId: 6,
  startedAt: 7,
  startedBy: 8,
  outcome: 9,
  endedAt: 10,
  reportDueAt: 11,
  source: 12,
  state: 15,
} as const;

/** What the service would say if this call started the decision. */
export function starting(q: Question): StartFields {
  return {
    reason: null,
    message: "The execution is started.",
    decisionId: q.decisionId,
    nonce: q.nonce,
    agentId: q.agentId,
    executionId: "0198c0de-0000-7000-8000-00000000e0e0",
    startedAt: 1_780_000_000,
    startedBy: "c0dec0dec0de",
    outcome: null,
    endedAt: null,
    reportDueAt: 1_780_000_900,
    source: 1,
    state: STATE.started,
  };
}

/** What the service would say if another call had started it. */
export function startedBefore(q: Question): StartFields {
  return { ...starting(q), executionId: "", state: STATE.alreadyStarted, message: "The decision was started before." };
}

/** What the service would say if it refused, by default because the decision is not an allow. */
export function refusing(q: Question, reason: number | null = 2): StartFields {
  const bare = { executionId: "", startedAt: null, startedBy: "", reportDueAt: null };
  return { ...starting(q), ...bare, reason, state: STATE.refused, message: "The decision is not an allow." };
}

/** Each field that is set, encoded, by field number and in that order. */
export function startParts(a: StartFields): Map<number, Uint8Array> {
  const parts = new Map<number, Uint8Array>();
  for (const [name, field] of Object.entries(START_FIELD)) {
    const value = a[name as keyof StartFields];
    if (value === null) continue;
    if (typeof value !== "number") {
      if (value.length > 0) parts.set(field, lenField(field, value));
    } else if (name.endsWith("At")) parts.set(field, lenField(field, varintField(1, value)));
    else parts.set(field, varintField(field, value));
  }
  return parts;
}

/** `a` in protobuf, with some fields' encodings replaced; a replacement keeps its field's place. */
export function startToProto(a: StartFields, replaced: Readonly<Record<number, Uint8Array>> = {}): Uint8Array {
  const parts = startParts(a);
  for (const [field, bytes] of Object.entries(replaced)) parts.set(Number(field), bytes);
  const inOrder = [...parts.entries()].toSorted(([one], [other]) => one - other);
  return concat(...inOrder.map(([, bytes]) => bytes));
}

/** Names as the contract gives them, for JSON. A number without a name is written as a number. */
const STATE_NAMES = new Map([
  [0, "EXECUTION_STATE_UNSPECIFIED"],
  [1, "EXECUTION_STATE_STARTED"],
  [2, "EXECUTION_STATE_ALREADY_STARTED"],
  [4, "EXECUTION_STATE_REFUSED"],
]);

/** `a` in JSON. */
export function startToJson(a: StartFields): string {
  const members: Record<string, unknown> = {};
  for (const name of Object.keys(START_FIELD)) {
    const value = a[name as keyof StartFields];
    if (value === null || value === "") continue;
    if (value instanceof Uint8Array) members[name] = Buffer.from(value).toString("base64");
    else if (name === "state") members[name] = STATE_NAMES.get(value as number) ?? value;
    else members[name] = name.endsWith("At") ? new Date((value as number) * 1000).toISOString() : value;
  }
  return JSON.stringify(members);
}
