import { create, toJsonString } from "@bufbuild/protobuf";
import {
  type CircuitReport,
  CircuitReportSchema,
  type SyncGuardRequest,
  type SyncGuardResponse,
  SyncGuardResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Admission, type AdmissionLimits } from "../authorize/admission.ts";
import { Fault, messageOf } from "../core/fault.ts";
import type { SyncGuardHandler, SyncResult, UnverifiedSync } from "../authorize/sync-guard.ts";
import { credentialsOf, type AgentHandlers } from "./handlers.ts";
import { timestampOf } from "./codec/timestamp.ts";

/** SyncGuard as transports call it, over `authorize/sync-guard.ts`. */
export function syncGuardHandler(syncGuard: SyncGuardHandler): AgentHandlers["syncGuard"] {
  return async (call) => {
    const readBody = (): UnverifiedSync => syncOf(call.readBody());
    const { deadlineAt, signal, traceparent } = call;
    return responseOf(await syncGuard({ ...credentialsOf(call), readBody, deadlineAt, signal, traceparent }));
  };
}

function syncOf({ journalId, records, circuit, closing }: SyncGuardRequest): UnverifiedSync {
  return {
    journalId,
    records: records.map((record) => ({ ...record, sequence: Number(record.sequence) })),
    circuit: circuit === undefined ? null : reportOf(circuit),
    closing,
  };
}

/**
 * Buckets of their own, so that an upload takes no turn of a question, and keeps no revocation from arriving: calls with records
 * are counted apart from those without. Ten records are worth a question: they are what hours of an outage have left.
 */
export function admitSyncs(rate: AdmissionLimits, monotonic: () => number): (agentId: string, records: number) => void {
  const [calls, uploads] = [new Admission(rate, monotonic), new Admission(rate, monotonic)];
  return (agentId, records) => {
    if (records === 0) calls.admit(agentId);
    else uploads.admit(agentId, 1 + records / 10);
  };
}

/** As JSON, which has no word for a time outside of the years 1 to 9999. */
function reportOf(circuit: CircuitReport): string {
  try {
    return toJsonString(CircuitReportSchema, circuit);
  } catch (cause) {
    throw new Fault("FIELD_INVALID", `circuit must have times in the years 1 to 9999: ${messageOf(cause)}.`, {
      field: "circuit",
      cause,
    });
  }
}

function responseOf(result: SyncResult): SyncGuardResponse {
  return create(SyncGuardResponseSchema, {
    recordedHashes: result.recordedHashes.map((hash) => new Uint8Array(hash)),
    refusedRecords: result.refused.map(({ hash, problem }) => ({ hash: new Uint8Array(hash), problem })),
    unverifiedGrants: [...result.orders],
    grantKeys: result.grantKeys.map((link) => ({
      publicKey: new Uint8Array(link.publicKey),
      signatureByPrevious: new Uint8Array(link.signatureByPrevious),
    })),
    ...(result.circuitCommand === null ? {} : { circuitCommand: commandMessage(result.circuitCommand) }),
    serviceTime: timestampOf(result.serviceTime),
  });
}

function commandMessage({ epoch, open, expiresAt }: NonNullable<SyncResult["circuitCommand"]>) {
  return { epoch: BigInt(epoch), open, ...(expiresAt === null ? {} : { expiresAt: timestampOf(expiresAt) }) };
}
