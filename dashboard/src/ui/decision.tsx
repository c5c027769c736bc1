import { Decision, Reason, ReasonSchema } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { Badge } from "./badge.tsx";

/** Denies because of an outage, not of a policy, as the overview counts them: another colour, another shape. */
const OUTAGE: ReadonlySet<Reason> = new Set([
  Reason.SERVICE_UNAVAILABLE,
  Reason.DEADLINE_EXCEEDED,
  Reason.MALFORMED_RESPONSE,
  Reason.REQUEST_REFUSED,
  Reason.CIRCUIT_OPEN,
]);

export function DecisionBadge({ decision, reason }: { readonly decision: Decision; readonly reason: Reason }) {
  if (decision === Decision.ALLOW && reason === Reason.CIRCUIT_BYPASS)
    return <Badge tone="outage">allow by bypass</Badge>;
  if (decision === Decision.ALLOW) return <Badge tone="allow">allow</Badge>;
  if (decision === Decision.NEEDS_REVIEW) return <Badge tone="review">needs review</Badge>;
  if (OUTAGE.has(reason)) return <Badge tone="outage">deny, outage</Badge>;
  return <Badge tone="deny">deny</Badge>;
}

/** A reason's name without its prefix. */
export function reasonWord(reason: Reason): string {
  return ReasonSchema.value[reason]?.localName ?? String(reason);
}
