import { CircuitState } from "../../../gen/datacrawl/authz/v1/authorize_service_pb.ts";
import { Badge, type Tone } from "./badge.tsx";
import type { IconName } from "./icon.tsx";

const STATES: Readonly<Record<CircuitState, { readonly word: string; readonly tone: Tone; readonly icon: IconName }>> =
  {
    [CircuitState.UNSPECIFIED]: { word: "unknown", tone: "neutral", icon: "circle" },
    [CircuitState.CLOSED]: { word: "closed", tone: "allow", icon: "check" },
    [CircuitState.OPEN]: { word: "open", tone: "outage", icon: "bolt" },
    [CircuitState.HALF_OPEN]: { word: "half-open", tone: "review", icon: "clock" },
    [CircuitState.RECOVERING]: { word: "recovering", tone: "review", icon: "clock" },
  };

interface CircuitProps {
  readonly state: CircuitState | undefined;
  readonly cause: string | undefined;
}

export function CircuitBadge({ state, cause }: CircuitProps) {
  const { word, tone, icon } = STATES[state ?? CircuitState.UNSPECIFIED] ?? STATES[CircuitState.UNSPECIFIED];
  return (
    <Badge tone={tone} icon={icon}>
      {word}
      {cause === undefined || cause === "" || word === "closed" ? "" : ` (${cause})`}
    </Badge>
  );
}
