import type { AuditOperations } from "../../admin/audit.ts";
import { noteKeys } from "../../audit/log/keys.ts";
import { formatVkey } from "../../audit/log/note.ts";
import type { Trail } from "../lifecycle/trail.ts";
import type { AdminMethods } from "./methods.ts";

type AuditMethods = Pick<
  AdminMethods,
  "getAuditStatus" | "sealAudit" | "listAuditKeys" | "rotateAuditKey" | "acknowledgeAuditRollback"
>;

export function auditMethods(operations: AuditOperations, trail: Trail): AuditMethods {
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
    async acknowledgeAuditRollback({ reason }, { actor }) {
      return { epoch: await operations.acknowledgeRollback(reason, actor) };
    },
  };
}
