/** Answers to BeginExecution. Only the controls start anything. */
import { type Case, type CaseReason, type Family, family, MALFORMED, proto } from "../case.ts";
import { concat, flipped, overlong, tag, varintField, WIRE } from "../protobuf.ts";
import { EMPTY, type Question } from "../question.ts";
import {
  refusing,
  START_FIELD as FIELD,
  type StartFields,
  startedBefore,
  starting,
  startParts,
  startToProto,
  STATE,
} from "../start-answer.ts";
import { contentTypes } from "./content-type.ts";
import { drops, goaways, streamResets } from "./breaks.ts";
import { framing } from "./framing.ts";
import { httpStatuses } from "./http-status.ts";
import { statuses } from "./statuses.ts";
import { trailerCases } from "./trailers.ts";

const begin = (name: string): Family => family(name, "BeginExecution");
const saying = (make: (q: Question) => StartFields) => proto((q) => startToProto(make(q)));
const changed = (change: Partial<StartFields> | ((q: Question) => Partial<StartFields>)) =>
  saying((q) => ({ ...starting(q), ...(typeof change === "function" ? change(q) : change) }));
const replaced = (field: number, bytes: Uint8Array) => proto((q) => startToProto(starting(q), { [field]: bytes }));
const numbered = (number: number) => String(number).padStart(3, "0");

const control = begin("begin-control");
control.allow("started", "The decision is started by this call", changed({}));
control.allow(
  "unknown-field",
  "A start, with a field that the contract does not know",
  proto((q) => concat(startToProto(starting(q)), varintField(100, 1))),
);
const noStart = (what: string, says: string, make: (q: Question) => StartFields, reason: CaseReason) =>
  control.answered(what, "deny", says, saying(make), [reason]);
noStart("already-started", "Another call started it", startedBefore, "ALREADY_STARTED");
noStart(
  "already-ended",
  "Another call started it, and it failed",
  (q) => ({ ...startedBefore(q), outcome: 2, endedAt: 1_780_000_001 }),
  "ALREADY_STARTED",
);
noStart("refused", "The decision is not an allow", (q) => refusing(q), "NOT_ALLOWED");
noStart(
  "own-start-that-ended",
  "This call started it, and somebody has resolved it since",
  (q) => ({ ...starting(q), outcome: 1, endedAt: 1_780_000_001 }),
  "ALREADY_STARTED",
);

const state = begin("begin-state");
const numbers = [0, 3, 5, 6, 7, 8, 9, 16, 17, 33, 65, 127, 128, 129, 255, 256, 257, 65_537, 2 ** 31 - 1, 2 ** 31 + 1];
for (const number of numbers)
  state.guard(`unknown-${number}`, `The state ${number}`, changed({ state: number }), MALFORMED);
for (const power of [32, 33, 35, 53, 56, 63])
  state.guard(
    `two-to-${power}-plus-started`,
    `The state 2^${power} + STARTED`,
    replaced(FIELD.state, varintField(FIELD.state, 2n ** BigInt(power) + 1n)),
    MALFORMED,
  );
for (const length of [2, 3, 5, 10])
  state.guard(
    `overlong-${length}`,
    `STARTED as a varint of ${length} bytes`,
    replaced(FIELD.state, concat(tag(FIELD.state, WIRE.varint), overlong(1, length))),
    MALFORMED,
  );
state.guard("absent", "There is no state", changed({ state: null }), MALFORMED);
state.guard(
  "alone",
  "STARTED and nothing else",
  proto(() => varintField(FIELD.state, 1)),
  MALFORMED,
);
state.guard("minus-one", "The state −1", changed({ state: -1 }), MALFORMED);
for (const [first, second] of [
  [1, 4],
  [4, 1],
  [2, 1],
  [1, 1],
] as const)
  state.guard(
    `twice-${first}-${second}`,
    `The state ${first}, and then ${second}`,
    replaced(FIELD.state, concat(varintField(FIELD.state, first), varintField(FIELD.state, second))),
    MALFORMED,
  );

const agreement = begin("begin-agreement");
const disagrees = (what: string, says: string, change: Partial<StartFields>) =>
  agreement.guard(what, says, changed(change), MALFORMED);
for (const reason of [1, 2, 3, 4, 5, 6])
  disagrees(`started-reason-${reason}`, `A start with the reason ${reason} of a refusal`, { reason });
disagrees("started-without-id", "A start without an execution's id", { executionId: "" });
disagrees("started-id-not-uuid", "A start whose execution's id is not a UUID", { executionId: "e0e0" });
disagrees("started-id-upper-case", "A start whose execution's id is in upper case", {
  executionId: "0198C0DE-0000-7000-8000-00000000E0E0",
});
disagrees("started-without-time", "A start without a time", { startedAt: null });
disagrees("started-without-due", "A start without the time of its report", { reportDueAt: null });
disagrees("started-by-nobody", "A start without a credential", { startedBy: "" });
disagrees("outcome-without-time", "A start with an outcome and no time of it", { outcome: 1 });
disagrees("time-without-outcome", "A start with the time of no outcome", { endedAt: 1_780_000_001 });
disagrees("unknown-outcome", "A start with the outcome 3", { outcome: 3, endedAt: 1_780_000_001 });
disagrees("already-with-id", "An earlier start with its id", { state: STATE.alreadyStarted });
disagrees("source-guard", "A start by a guard", { source: 2 });
disagrees("source-absent", "A start by nobody", { source: null });
disagrees("source-unknown", "A start by the source 3", { source: 3 });
for (const reason of [null, 0, 6, 8])
  agreement.guard(
    `refused-reason-${reason ?? "absent"}`,
    `A refusal for the reason ${reason ?? "that is absent"}`,
    saying((q) => refusing(q, reason)),
    MALFORMED,
  );

const echo = begin("begin-echo");
const TEXTS: Record<string, (text: string) => string> = {
  absent: () => "",
  "other-case": (text) => text.toUpperCase(),
  "one-short": (text) => text.slice(0, -1),
  "one-long": (text) => `${text}0`,
  "space-after": (text) => `${text} `,
  "nul-after": (text) => `${text}\0`,
  "zero-width-after": (text) => `${text}\u200b`,
  twice: (text) => text + text,
};
for (const [name, spoil] of Object.entries(TEXTS)) {
  echo.guard(
    `agent-${name}`,
    `The agent: ${name}`,
    changed((q) => ({ agentId: spoil(q.agentId) })),
    MALFORMED,
  );
  echo.guard(
    `decision-${name}`,
    `The decision: ${name}`,
    changed((q) => ({ decisionId: spoil(q.decisionId) })),
    MALFORMED,
  );
}
const NONCES: Record<string, (q: Question) => Uint8Array> = {
  absent: () => EMPTY,
  zeros: () => new Uint8Array(16),
  "of-another-start": (q) => q.earlier?.nonce ?? new Uint8Array(16).fill(1),
  "one-short": ({ nonce }) => nonce.subarray(0, -1),
  "one-long": ({ nonce }) => concat(nonce, Uint8Array.of(0)),
  reversed: ({ nonce }) => nonce.toReversed(),
  twice: ({ nonce }) => concat(nonce, nonce),
};
for (const [name, spoil] of Object.entries(NONCES))
  echo.guard(
    `nonce-${name}`,
    `The nonce: ${name}`,
    changed((q) => ({ nonce: spoil(q) })),
    MALFORMED,
  );
echo.guard(
  "replayed",
  "The whole right answer to another start",
  saying((q) => starting({ ...q, ...(q.earlier ?? { nonce: EMPTY, decisionId: "" }) })),
  MALFORMED,
);

/** At least the length of a start. Where less is there to lose, all of it is lost. */
const LONGEST = 280;
const truncation = begin("begin-truncation");
for (let lost = 1; lost <= LONGEST; lost++)
  truncation.stub(
    `lost-${numbered(lost)}`,
    `A right start without its last ${lost} bytes`,
    proto((q) => {
      const whole = startToProto(starting(q));
      return whole.subarray(0, Math.max(0, whole.length - lost));
    }),
    MALFORMED,
  );

const bitFlip = begin("begin-bit-flip");
/** Tag, length and value. */
const CHECKED = [
  { name: "state", field: FIELD.state, bytes: 2 },
  { name: "source", field: FIELD.source, bytes: 2 },
  { name: "agent", field: FIELD.agentId, bytes: 2 + "conformance".length },
  { name: "decision", field: FIELD.decisionId, bytes: 2 + 36 },
  { name: "nonce", field: FIELD.nonce, bytes: 2 + 16 },
];
for (const { name, field, bytes } of CHECKED)
  for (let bit = 0; bit < bytes * 8; bit++)
    bitFlip.guard(
      `${name}-${numbered(bit)}`,
      `Bit ${bit} of the ${name}'s field`,
      proto((q) => {
        const part = startParts(starting(q)).get(field) ?? Uint8Array.of(0);
        return startToProto(starting(q), { [field]: flipped(part, bit) });
      }),
      MALFORMED,
    );

/** The envelope's faults, around answers to a start. */
const ENVELOPES = [
  ...framing,
  ...trailerCases,
  ...statuses,
  ...httpStatuses,
  ...contentTypes,
  ...streamResets,
  ...goaways,
  ...drops,
];
const envelopes: readonly Case[] = ENVELOPES.filter(
  ({ answer, endpoint, verdict }) =>
    (answer.kind === "grpc" || answer.kind === "http") && endpoint === "main" && verdict === "deny",
).map((one) => ({ ...one, name: `begin-${one.name}`, family: `begin-${one.family}`, method: "BeginExecution" }));

export const starts: readonly Case[] = [
  ...control.cases,
  ...state.cases,
  ...agreement.cases,
  ...echo.cases,
  ...truncation.cases,
  ...bitFlip.cases,
  ...envelopes,
];
