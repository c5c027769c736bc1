import type { KeyFilesUse } from "../key-files.ts";

/** The keys that sign checkpoints of the trail. */
export const AUDIT_KEYS: KeyFilesUse = {
  label: "audit key",
  linkDomain: "datacrawl.auditkey.v1",
  filePrefix: "audit-key",
};
