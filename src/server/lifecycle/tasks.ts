import { SESSION_LIFETIME } from "../../admin/sessions.ts";
import type { Reviews } from "../../authorize/reviews.ts";
import type { Watchers } from "../../authorize/watchers.ts";
import type { Store } from "../../store/open.ts";
import type { Admin } from "../admin/service.ts";
import type { Repositories } from "../repositories.ts";
import type { PeriodicTasks } from "./periodic-tasks.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Trail } from "./trail.ts";
import type { UnfitNames } from "./unfit-names.ts";

/** How long a row may be without a seal, at most and about: docs/audit.md says what that means. */
const SEAL_EVERY_MS = 10_000;

export interface TaskParts {
  readonly store: Store;
  readonly repositories: Repositories;
  readonly admin: Admin;
  readonly trail: Trail;
  readonly reviews: Reviews;
  readonly watchers: Watchers;
  readonly names: UnfitNames;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly keepPolicies: () => Promise<void>;
  readonly recordRefusals: () => Promise<void>;
}

/** What the service does again and again, whether or not anybody calls. */
export function startTasks(periodic: PeriodicTasks, parts: TaskParts): void {
  const { admin, metrics, names, repositories, reviews, store, trail, watchers } = parts;
  const { guards, records, sessions } = repositories;
  periodic.every(60_000, "look for names that could be mistaken for others", () => names.look());
  periodic.every(60_000, "purge expired claims", () => records.purgeExpiredClaims());
  periodic.every(60_000, "record refused credentials", parts.recordRefusals);
  periodic.every(60_000, "keep the policies' text", parts.keepPolicies);
  periodic.every(60_000, "record refused operators", () => admin.trail.report());
  periodic.every(3_600_000, "purge ended sessions", () => sessions.purge(SESSION_LIFETIME));
  periodic.every(60_000, "go on with a verification", () => admin.verification.resume());
  periodic.every(SEAL_EVERY_MS, "seal the audit trail", sealing(trail, admin, parts.log));
  periodic.every(5_000, "deny reviews that nobody answered", () => reviews.expireDue());
  periodic.every(5_000, "note unresolved executions", async () => {
    await admin.executions.noteUnresolved();
    metrics.executions.showUnresolved(await admin.executions.countUnresolved());
  });
  periodic.every(500, "look for resolved reviews", () => watchers.look());
  periodic.every(3_600_000, "make partitions", () => store.makePartitions());
  periodic.every(3_600_000, "forget old circuits", () => guards.forgetOldCircuits());
}

/** Seals, and repairs what a rollback has lost; logs what needs attention, and when nothing does any more. */
function sealing({ keeper }: Trail, admin: Admin, log: Log): () => Promise<void> {
  let toldProblems = 0;
  return async () => {
    try {
      await keeper.turn();
      await admin.recovery.turn();
    } finally {
      const { problems } = keeper;
      if (problems.length > 0) log.error({ problems }, "the audit trail needs attention");
      else if (toldProblems > 0) log.info("the audit trail is sealed and published again");
      toldProblems = problems.length;
    }
  };
}
