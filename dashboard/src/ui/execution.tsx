import { Outcome } from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import type { Execution } from "@datacrawl/proto/datacrawl/authz/v1/executions_pb";
import { Badge, type Tone } from "./badge.tsx";
import type { IconName } from "./icon.tsx";

const OUTCOMES: Readonly<Record<Outcome, { readonly word: string; readonly tone: Tone; readonly icon: IconName }>> = {
  [Outcome.UNSPECIFIED]: { word: "no report yet", tone: "neutral", icon: "clock" },
  [Outcome.SUCCEEDED]: { word: "succeeded", tone: "allow", icon: "check" },
  [Outcome.FAILED]: { word: "failed", tone: "deny", icon: "cross" },
  [Outcome.UNKNOWN]: { word: "outcome unknown", tone: "review", icon: "circle" },
};

/** How an execution ended, or that nobody has said so. */
export function ExecutionBadge({ execution: { outcome, unresolved } }: { readonly execution: Execution }) {
  if (unresolved) return <Badge tone="outage">unresolved</Badge>;
  const { word, tone, icon } = OUTCOMES[outcome] ?? OUTCOMES[Outcome.UNSPECIFIED];
  return (
    <Badge tone={tone} icon={icon}>
      {word}
    </Badge>
  );
}
