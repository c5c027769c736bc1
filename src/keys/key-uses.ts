import type { KeyFilesUse } from "./key-files.ts";
import { GRANT_KEY_USE } from "../core/grant.ts";

/** The service's files of the keys that sign circuit-bypass orders. */
export const GRANT_KEYS: KeyFilesUse = { ...GRANT_KEY_USE, filePrefix: "grant-key" };

/** The keys that sign checkpoints of the trail. */
export const AUDIT_KEYS: KeyFilesUse = {
  label: "audit key",
  linkDomain: "datacrawl.auditkey.v1",
  filePrefix: "audit-key",
};
