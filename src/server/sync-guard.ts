import { create, toJsonString } from "@bufbuild/protobuf";
import {
  CircuitReportSchema,
  type SyncGuardResponse,
  SyncGuardResponseSchema,
} from "../../gen/datacrawl/authz/v1/authorize_service_pb.ts";
import type { SyncCall, SyncResult } from "../guard/receive.ts";
import type { Roads } from "./roads.ts";
import { timestampOf } from "./timestamp.ts";

/** SyncGuard as the roads call it, over the walk in `guard/receive.ts`. */
export function syncGuardRoad(syncGuard: (call: SyncCall) => Promise<SyncResult>): Roads["syncGuard"] {
  return async ({ authorization, request }) => {
    const { journalId, circuit } = request;
    const records = request.records.map((record) => ({ ...record, sequence: Number(record.sequence) }));
    const report = circuit === undefined ? null : toJsonString(CircuitReportSchema, circuit);
    return responseOf(await syncGuard({ authorization, journalId, records, circuit: report }));
  };
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
    serviceTime: timestampOf(result.serviceTime),
  });
}
