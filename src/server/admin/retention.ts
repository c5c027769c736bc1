import type { ExportOperations } from "../../admin/export.ts";
import type { RetentionOperations } from "../../admin/retention.ts";
import type { AdminMethods } from "./methods.ts";

type RetentionMethods = Pick<AdminMethods, "exportAudit" | "recordExport" | "erasePayload">;

export function retentionMethods(exporting: ExportOperations, retention: RetentionOperations): RetentionMethods {
  return {
    async *exportAudit({ fromUs, toUs, includePayloads }) {
      const from = fromUs === undefined ? null : Number(fromUs);
      for await (const part of exporting.parts({ from, to: Number(toUs), payloads: includePayloads })) {
        yield {
          lines: part.lines,
          decisions: BigInt(part.decisions),
          events: BigInt(part.events),
          payloads: BigInt(part.payloads),
          missingRows: BigInt(part.missing),
          reachedUs: BigInt(part.reached),
        };
      }
    },
    async recordExport({ fromUs, toUs, fileName, sha256, fileBytes, decisions, events, payloads }, { actor }) {
      const written = {
        from: fromUs === undefined ? null : Number(fromUs),
        to: Number(toUs),
        fileName,
        sha256,
        fileBytes: Number(fileBytes),
        decisions: Number(decisions),
        events: Number(events),
        payloads: Number(payloads),
      };
      await retention.recordExport(written, actor);
      return {};
    },
    async erasePayload({ decisionId, reason }, { actor }) {
      return { erased: await retention.erasePayload(decisionId, reason, actor) };
    },
  };
}
