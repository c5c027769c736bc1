import * as wire from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import type { BeginAnswer, UnverifiedBegin } from "../../authorize/execution-call.ts";
import type { Source } from "../../core/decision.ts";
import type { Path } from "../../core/fault.ts";
import { undecodableFault } from "../../core/undecodable.ts";
import { WireReader, WireType } from "../../core/wire-reader.ts";
import { SOURCES } from "./answer.ts";
import { OUTCOME, STATE } from "./execution.ts";
import { capacityOf, WireWriter } from "./wire-writer.ts";

const NAMES = ["", "decision_id", "nonce"] as const;
const DECISION_ID = (1 << 3) | WireType.bytes;
const NONCE = (2 << 3) | WireType.bytes;

const NO_BYTES = new Uint8Array(0);

/**
 * Decodes a `BeginExecutionRequest` in protobuf's binary format, as strictly as an `AuthorizeRequest`: a field that occurs twice or
 * has another wire type is refused. Nothing in the result shares memory with `bytes`.
 *
 * @throws Fault REQUEST_MALFORMED naming the field
 */
export function decodeBeginRequest(bytes: Uint8Array): UnverifiedBegin {
  const path: Path = [];
  try {
    return decodeFields(new WireReader(bytes), path);
  } catch (error) {
    throw undecodableFault(error, path);
  }
}

function decodeFields(reader: WireReader, path: Path): UnverifiedBegin {
  let decisionId: string | undefined;
  let nonce: Uint8Array | undefined;
  const end = reader.length;
  while (reader.at < end) {
    const tag = reader.tag(end);
    path[0] = NAMES[tag >>> 3] ?? "";
    if (tag === DECISION_ID && decisionId === undefined) decisionId = reader.string(end);
    else if (tag === NONCE && nonce === undefined) nonce = reader.bytes(end);
    else reader.skipUnknown(tag, 2, end);
    path[0] = "";
  }
  return { decisionId: decisionId ?? "", nonce: nonce ?? NO_BYTES };
}

/**
 * `answer` as a `BeginExecutionResponse` in protobuf's binary format, for gRPC.
 *
 * INVARIANT: fields go out in order of their numbers and the state is last, so that an answer cut short has none.
 *
 * @param source who starts executions where the answer does not say it
 */
export function encodeBegin(answer: BeginAnswer, source: Source): Buffer {
  const execution = answer.state === "refused" ? null : answer.execution;
  const writer = new WireWriter(capacity(answer));
  if (answer.state === "refused") writer.varintField(1, wire.ExecutionRefusal[answer.reason]);
  writer.stringField(2, answer.message);
  writer.stringField(3, answer.decisionId);
  writer.bytesField(4, answer.nonce);
  writer.stringField(5, answer.agentId);
  if (execution !== null) {
    // INVARIANT: only the caller that started the execution learns its id, and so can report how it ended.
    if (answer.state === "started") writer.stringField(6, execution.executionId);
    writer.timestampField(7, execution.startedAt);
    writer.stringField(8, execution.startedBy);
    if (execution.end !== null) {
      writer.varintField(9, OUTCOME[execution.end.outcome]);
      writer.timestampField(10, execution.end.endedAt);
    }
    writer.timestampField(11, execution.reportDueAt);
  }
  writer.varintField(12, SOURCES[answer.source ?? source]);
  writer.varintField(15, STATE[answer.state]);
  return writer.finish();
}

function capacity(answer: BeginAnswer): number {
  const texts = answer.message.length + answer.decisionId.length + answer.agentId.length;
  const ofExecution =
    answer.state === "refused" ? 0 : answer.execution.executionId.length + answer.execution.startedBy.length;
  return capacityOf(texts + ofExecution, answer.nonce.length);
}
