import type { MessageInitShape } from "@bufbuild/protobuf";
import { LostChangeRemedy, type RecoverySchema } from "@datacrawl/proto/datacrawl/authz/v1/audit_pb";
import type { AuditOperations } from "../../admin/audit.ts";
import type { Recovery, RecoveryReport } from "../../admin/recovery.ts";
import { noteKeys } from "../../audit/log/keys.ts";
import { formatVkey } from "../../audit/log/note.ts";
import type { Trail } from "../lifecycle/trail.ts";
import { timestampOf } from "../codec/timestamp.ts";
import type { AdminMethods } from "./methods.ts";

type AuditMethods = Pick<
  AdminMethods,
  "getAuditStatus" | "getRecovery" | "sealAudit" | "listAuditKeys" | "rotateAuditKey" | "acknowledgeAuditRollback"
>;

export function auditMethods(operations: AuditOperations, recovery: Recovery, trail: Trail): AuditMethods {
  return {
    async getAuditStatus() {
      const { epoch, size, note, unsealed, problems, rollback } = await operations.status();
      return {
        origin: trail.origin,
        epoch,
        sealedRows: BigInt(size),
        ...(note === null ? {} : { checkpoint: note }),
        unsealedRows: BigInt(unsealed),
        problems: [...problems],
        rolledBack: rollback !== null,
        ...(trail.directory === null ? {} : { checkpointDir: trail.directory.path }),
      };
    },
    async sealAudit() {
      const { sealed, note } = await operations.seal();
      return { sealedRows: BigInt(sealed), ...(note === null ? {} : { checkpoint: note }) };
    },
    async listAuditKeys() {
      const keys = await trail.keys();
      const vkeys = noteKeys(trail.origin, keys).map(formatVkey);
      return {
        keys: keys.chain.map(({ signatureByPrevious }, index) => {
          return { vkey: vkeys[index] ?? "", signatureByPrevious: new Uint8Array(signatureByPrevious) };
        }),
      };
    },
    async rotateAuditKey(_, { actor }) {
      return { vkey: await operations.rotateKey(actor) };
    },
    async getRecovery() {
      const { rollback } = await operations.status();
      const report = rollback === null ? null : await recovery.report();
      return report === null ? {} : { recovery: recoveryMessage(report) };
    },
    async acknowledgeAuditRollback({ reason, confirmed }, { actor }) {
      return { epoch: await operations.acknowledgeRollback(reason, confirmed, actor) };
    },
  };
}

const REMEDY = {
  reapplied: LostChangeRemedy.REAPPLIED,
  locked: LostChangeRemedy.LOCKED,
  voided: LostChangeRemedy.VOIDED,
  lost: LostChangeRemedy.LOST,
} as const;

function recoveryMessage({
  rollback,
  problem,
  lost,
  incomplete,
}: RecoveryReport): MessageInitShape<typeof RecoverySchema> {
  const { outside, inside } = rollback;
  return {
    problem,
    publishedEpoch: outside.epoch,
    publishedSize: BigInt(outside.size),
    databaseEpoch: inside.epoch,
    databaseSize: BigInt(inside.size),
    lostChanges: lost.map(({ change: { recordedAt, kind, actor, subject, detail }, remedy }) => ({
      recordedAt: timestampOf(recordedAt),
      kind,
      actor,
      subject: subject ?? "",
      detail,
      remedy: REMEDY[remedy],
    })),
    incompleteBecause: incomplete ?? "",
  };
}
