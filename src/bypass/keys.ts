import type { KeyFilesUse } from "../key-files.ts";

/** The keys that sign circuit-bypass orders. Guards pin the first that they see, and follow the chain from there. */
export const GRANT_KEYS: KeyFilesUse = {
  label: "grant key",
  linkDomain: "datacrawl.grantkey.v1",
  filePrefix: "grant-key",
};
