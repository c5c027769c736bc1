/**
 * Named places at which a test kills the process, to show that no crash breaks a promise. In production nothing is set, and
 * a failpoint is one comparison. (The idea is FreeBSD's fail(9).)
 */
export const FAILPOINTS = [
  "authenticated",
  "parsed",
  "looked-up",
  "evaluated",
  "before-commit",
  "after-commit",
  "recorded",
  "remembered",
  "before-answer",
] as const;

/** Where a sealer can be killed. */
export const SEAL_FAILPOINTS = [
  "before-seal",
  "after-seal",
  "half-published",
  "changes-published",
  "publishing",
] as const;

/** Where a guard can be killed: around a bypassed action's record, start and end, and around its upload. */
export const GUARD_FAILPOINTS = [
  "bypass-granted",
  "journal-writing",
  "journal-written",
  "journal-synced",
  "bypass-recorded",
  "bypass-claimed",
  "bypass-started",
  "bypass-ended",
  "bypass-end-recorded",
  "uploading",
  "uploaded",
] as const;

/** Where an agent can be killed around an execution: its start, and its report. */
export const START_FAILPOINTS = ["begin-asking", "begin-answered", "report-sending", "report-answered"] as const;

/** Where a service can be killed while a guard uploads. */
export const SYNC_FAILPOINTS = [
  "before-sync-commit",
  "after-sync-commit",
  "after-starts-upload",
  "after-ends-upload",
] as const;

/** Where a service can be killed while an execution is started, or its outcome is reported. */
export const EXECUTION_FAILPOINTS = [
  "before-start-commit",
  "after-start-commit",
  "before-begin-answer",
  "before-report-commit",
  "after-report-commit",
  "before-report-answer",
] as const;

/** Where the process that reads a service's policies can be killed, or stopped as by a file system that hangs. */
export const POLICY_FAILPOINTS = ["policy-reading"] as const;

export type Failpoint =
  | (typeof FAILPOINTS)[number]
  | (typeof SEAL_FAILPOINTS)[number]
  | (typeof GUARD_FAILPOINTS)[number]
  | (typeof START_FAILPOINTS)[number]
  | (typeof SYNC_FAILPOINTS)[number]
  | (typeof EXECUTION_FAILPOINTS)[number]
  | (typeof POLICY_FAILPOINTS)[number];

const armed = parse(process.env["DATACRAWL_TEST_FAILPOINT"]);

/**
 * Kills the process with SIGKILL if `DATACRAWL_TEST_FAILPOINT=<name>:<n>` names this place and it is reached the nth time;
 * with `<name>:<n>:stop` it is stopped instead.
 */
export function failpoint(name: Failpoint): void {
  if (armed === null || armed.name !== name) return;
  armed.hits--;
  if (armed.hits === 0) process.kill(process.pid, armed.stops ? "SIGSTOP" : "SIGKILL");
}

function parse(text: string | undefined): { readonly name: string; readonly stops: boolean; hits: number } | null {
  if (text === undefined) return null;
  const [name = "", hits = "1", how = "kill"] = text.split(":");
  return { name, hits: Number(hits), stops: how === "stop" };
}
