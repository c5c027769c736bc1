import { fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  type CircuitReportSchema,
  CircuitState,
  type SyncGuardRequest,
  SyncGuardRequestSchema,
  type SyncGuardResponse,
  SyncGuardResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { CircuitSnapshot } from "../circuit/breaker.ts";
import type { Clock, Micros } from "@datacrawl/core/clock";
import { Deadline } from "@datacrawl/core/deadline";
import type { Transport } from "../transport/transport.ts";

/** What a sync's answer may hold fits several times: 500 hashes, and grants of at most 64 KiB each. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/**
 * One SyncGuard call. What it decides about is signed or the guard's own, so the message is read as protobuf-es does; its
 * envelope as strictly as any.
 *
 * @throws if there is no sound answer within `timeoutMs`
 */
export async function exchangeSync(
  transport: Transport,
  request: SyncGuardRequest,
  timeoutMs: number,
  clock: Clock,
): Promise<SyncGuardResponse> {
  using deadline = new Deadline(clock, clock.monotonic() + timeoutMs, { awaited: false });
  const message = toBinary(SyncGuardRequestSchema, request);
  const reply = await transport.call({ method: "SyncGuard", message, maxReplyBytes: MAX_ANSWER_BYTES }, deadline);
  if (reply.kind === "messages") return fromBinary(SyncGuardResponseSchema, reply.unverifiedMessages[0] as Uint8Array);
  throw new Error("problem" in reply ? reply.problem : "no answer in time");
}

const STATES = {
  closed: CircuitState.CLOSED,
  open: CircuitState.OPEN,
  half_open: CircuitState.HALF_OPEN,
  recovering: CircuitState.RECOVERING,
} as const;

/** The circuit, as operators see the fleet's circuits. */
export function circuitReport(circuit: CircuitSnapshot, now: Micros): MessageInitShape<typeof CircuitReportSchema> {
  const { state, cause, consecutiveFailures, openedAt, nextProbeInMs, lastErrors } = circuit;
  return {
    state: STATES[state],
    consecutiveFailures,
    ...(openedAt !== null && { openedAt: timestamp(openedAt) }),
    ...(nextProbeInMs !== null && { nextProbeAt: timestamp(now + Math.round(nextProbeInMs * 1000)) }),
    lastErrors: [...lastErrors],
    cause: cause ?? "",
  };
}

function timestamp(at: Micros): MessageInitShape<typeof TimestampSchema> {
  const seconds = Math.floor(at / 1_000_000);
  return { seconds: BigInt(seconds), nanos: (at - seconds * 1_000_000) * 1000 };
}
