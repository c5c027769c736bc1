import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type BeginExecutionRequest,
  BeginExecutionRequestSchema,
  ExecutionRefusal,
  ExecutionState,
  Outcome,
} from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { interpretStart } from "../../src/call/start-answer.ts";
import { startedBefore, starting } from "../support/service.ts";

const request: BeginExecutionRequest = {
  ...fromBinary(BeginExecutionRequestSchema, new Uint8Array()),
  decisionId: "0198c0de-0000-7000-8000-00000000c0de",
  nonce: new Uint8Array(16).fill(7),
};
const { decisionId, nonce } = request;
const read = (bytes: Uint8Array) =>
  interpretStart({ kind: "messages", unverifiedMessages: [bytes] }, { agentId: "agent-1", decisionId, nonce });
const stateOf = (bytes: Uint8Array): string => {
  const heard = read(bytes);
  return heard.kind === "answered" ? heard.start.state : heard.kind;
};
const right = starting(request);
const none = { executionId: "", startedBy: "", startedAt: undefined, reportDueAt: undefined } as never;
const refusing = { ...(none as object), state: ExecutionState.REFUSED, reason: ExecutionRefusal.NOT_ALLOWED };
const ended = { outcome: Outcome.FAILED, endedAt: { seconds: 1_780_000_002n, nanos: 0 } as never };

describe("an answer to a start", () => {
  test("starts if it is right, and says who was first or why not if it says so", () => {
    expect(read(right)).toMatchObject({
      kind: "answered",
      start: {
        state: "started",
        executionId: "0198c0de-0000-7000-8000-00000000e0e0",
        startedAt: 1_780_000_000_000_000,
      },
    });
    expect(read(starting(request, { ...startedBefore, ...ended }))).toMatchObject({
      start: { state: "already_started", startedBy: "0123456789ab", end: { outcome: "failed" } },
    });
    expect(read(starting(request, startedBefore))).toMatchObject({ start: { state: "already_started", end: null } });
    expect(read(starting(request, refusing))).toMatchObject({ start: { state: "refused", reason: "NOT_ALLOWED" } });
  });

  test("does not start what has an outcome, even if it says that this call started it", () => {
    expect(read(starting(request, ended))).toMatchObject({
      start: { state: "already_started", end: { outcome: "failed" } },
    });
  });

  test.each<[string, Parameters<typeof starting>[1]]>([
    ["no state", { state: ExecutionState.UNSPECIFIED }],
    ["an unknown state", { state: 3 as ExecutionState }],
    ["a negative state", { state: -1 as ExecutionState }],
    ["a refusal's reason beside a start", { reason: ExecutionRefusal.EXPIRED }],
    ["a refusal without a reason", { ...refusing, reason: 0 }],
    ["a refusal with an unknown reason", { ...refusing, reason: 6 as ExecutionRefusal }],
    ["a refusal with an execution's id", { ...refusing, executionId: decisionId }],
    ["a start without an id", { executionId: "" }],
    ["a start whose id is not a UUID", { executionId: "e0e0" }],
    ["an earlier start that tells its id", { state: ExecutionState.ALREADY_STARTED }],
    ["a start without a time", { startedAt: undefined as never }],
    ["a start without a due time", { reportDueAt: undefined as never }],
    ["a start by nobody", { startedBy: "" }],
    ["an unknown outcome", { ...startedBefore, ...ended, outcome: 3 as Outcome }],
    ["an outcome without its time", { ...startedBefore, outcome: Outcome.FAILED }],
    ["the time of no outcome", { ...startedBefore, endedAt: ended.endedAt }],
    ["another agent", { agentId: "agent-2" }],
    ["another decision", { decisionId: "0198c0de-0000-7000-8000-00000000c0df" }],
    ["the decision in upper case", { decisionId: decisionId.toUpperCase() }],
    ["another start's nonce", { nonce: new Uint8Array(16).fill(8) }],
    ["no nonce", { nonce: new Uint8Array() }],
    ["a guard as its source", { source: Source.GUARD }],
    ["no source", { source: Source.UNSPECIFIED }],
  ])("that holds %s is malformed", (_, spoiled) => {
    expect(stateOf(starting(request, spoiled))).toBe("malformed");
  });

  test("that is cut short anywhere starts nothing", () => {
    for (let length = 0; length < right.length; length++) expect(stateOf(right.subarray(0, length))).toBe("malformed");
  });

  test("that has a bit of its state or of an echo the other way round starts nothing", () => {
    // From the decision's id to the agent's, and the two last fields.
    const echoes = [Buffer.from(right).indexOf(decisionId) - 2, Buffer.from(right).indexOf("agent-1") + 7];
    const checked = [...Array(right.length).keys()].filter(
      (at) => (at >= echoes[0]! && at < echoes[1]!) || at >= right.length - 4,
    );
    expect(checked.length).toBeGreaterThan(60);
    for (const at of checked)
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Uint8Array.from(right);
        flipped[at]! ^= 1 << bit;
        expect(stateOf(flipped), `byte ${at}, bit ${bit}`).not.toBe("started");
      }
  });

  test("of noise starts nothing, whatever the noise", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => stateOf(noise) !== "started"));
  });
});
