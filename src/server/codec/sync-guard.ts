import { create, toJsonString } from "@bufbuild/protobuf";
import {
  type CircuitReport,
  CircuitReportSchema,
  type SyncGuardRequest,
  type SyncGuardResponse,
  SyncGuardResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { SyncResult, UnverifiedSync } from "../../authorize/sync-guard.ts";
import { Fault, messageOf } from "../../core/fault.ts";
import { timestampOf } from "./timestamp.ts";

/** @throws Fault FIELD_INVALID */
export function syncOf({ journalId, records, circuit, closing }: SyncGuardRequest): UnverifiedSync {
  return {
    journalId,
    records: records.map((record) => ({ ...record, sequence: Number(record.sequence) })),
    circuit: circuit === undefined ? null : reportOf(circuit),
    closing,
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

export function syncResponse(result: SyncResult): SyncGuardResponse {
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
