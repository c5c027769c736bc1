/** What `sabotage.ts` plants, for tests that look for it: a test must not load that module itself. */

/** Stands in the message of each mistake. */
export const SECRET = "4111-1111-1111-1111";
/** The tool whose evaluation fails. */
export const SABOTAGED_TOOL = "sabotage.me";
