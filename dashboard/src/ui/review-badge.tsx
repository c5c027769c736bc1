import { ReviewState } from "@datacrawl/proto/datacrawl/authz/v1/reviews_pb";
import { Badge, type Tone } from "./badge.tsx";
import type { IconName } from "./icon.tsx";

const STATES: Readonly<Record<ReviewState, { readonly word: string; readonly tone: Tone; readonly icon: IconName }>> = {
  [ReviewState.UNSPECIFIED]: { word: "unknown", tone: "neutral", icon: "circle" },
  [ReviewState.OPEN]: { word: "waiting", tone: "review", icon: "clock" },
  [ReviewState.APPROVED]: { word: "approved", tone: "allow", icon: "check" },
  [ReviewState.REJECTED]: { word: "rejected", tone: "deny", icon: "cross" },
  [ReviewState.EXPIRED]: { word: "expired", tone: "deny", icon: "clock" },
  [ReviewState.LAPSED]: { word: "approval lapsed", tone: "deny", icon: "clock" },
  [ReviewState.WITHDRAWN]: { word: "approval withdrawn", tone: "deny", icon: "cross" },
  [ReviewState.VOID]: { word: "void: the policy changed", tone: "deny", icon: "cross" },
};

export function ReviewBadge({ state }: { readonly state: ReviewState }) {
  const { word, tone, icon } = STATES[state] ?? STATES[ReviewState.UNSPECIFIED];
  return (
    <Badge tone={tone} icon={icon}>
      {word}
    </Badge>
  );
}
