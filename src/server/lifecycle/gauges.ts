import type { Micros } from "../../core/clock.ts";
import type { PolicySource } from "../../policy/source.ts";
import type { Recovery } from "../../admin/recovery.ts";
import type { Metrics } from "./metrics.ts";
import type { Trail } from "./trail.ts";

/** The metrics of the policies and of the trail. */
export function watchGauges(
  metrics: Metrics,
  policies: PolicySource,
  { keeper }: Trail,
  recovery: Recovery,
  now: () => Micros,
): void {
  metrics.watch(
    "datacrawl_policies_refused",
    "1 if the newest policies are broken or cannot be read, so that older ones decide.",
    () => (policies.problem === null ? 0 : 1),
  );
  metrics.watch("datacrawl_policies_read_age_seconds", "Since the directory of the policies was last read.", () =>
    Math.max(0, policies.age / 1000),
  );
  metrics.watch("datacrawl_audit_rolled_back", "1 if the database lacks what is published.", () =>
    keeper.rollback === null ? 0 : 1,
  );
  metrics.watch(
    "datacrawl_in_recovery",
    "1 while agents are allowed nothing, because a rollback of the database is not acknowledged.",
    () => (recovery.isActive ? 1 : 0),
  );
  metrics.watch(
    "datacrawl_audit_problems",
    "What keeps the audit trail from being sealed and published, counted; /readyz names it.",
    () => keeper.problems.length,
  );
  metrics.watch("datacrawl_audit_sealed_age_seconds", "Since the audit trail was last found or made sealed.", () =>
    Math.max(0, (now() - keeper.sealedAt) / 1_000_000),
  );
  metrics.watch(
    "datacrawl_audit_oldest_writer_seconds",
    "How long a transaction has kept its rows from being sealed.",
    () => keeper.oldestWriter / 1_000_000,
  );
}
