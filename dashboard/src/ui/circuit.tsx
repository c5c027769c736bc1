import { CircuitState } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { GuardCircuit } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { Badge, type Tone } from "./badge.tsx";
import type { IconName } from "./icon.tsx";
import { Time, useNow } from "./time.tsx";

const STATES: Readonly<Record<CircuitState, { readonly word: string; readonly tone: Tone; readonly icon: IconName }>> =
  {
    [CircuitState.UNSPECIFIED]: { word: "unknown", tone: "neutral", icon: "circle" },
    [CircuitState.CLOSED]: { word: "closed", tone: "allow", icon: "check" },
    [CircuitState.OPEN]: { word: "open", tone: "outage", icon: "bolt" },
    [CircuitState.HALF_OPEN]: { word: "half-open", tone: "review", icon: "clock" },
    [CircuitState.RECOVERING]: { word: "recovering", tone: "review", icon: "clock" },
  };

/** Whose failures opened it, or by whose order. */
const CAUSES: Readonly<Record<string, string>> = { local: "own failures", shared: "others' failures" };

/** A guard reports every few seconds; the overview counts those as silent, too, that have not for so long. */
const SILENT_MS = 60_000;

/** How a circuit stands, as its guard last said. */
export function CircuitBadge({ circuit: { report, reportedAt } }: { readonly circuit: GuardCircuit }) {
  const now = useNow();
  const { word, tone, icon } = STATES[report?.state ?? CircuitState.UNSPECIFIED] ?? STATES[CircuitState.UNSPECIFIED];
  if (reportedAt !== undefined && now - timestampMs(reportedAt) > SILENT_MS)
    return <Badge tone="neutral">{`silent, was ${word}`}</Badge>;
  const cause = report?.cause ?? "";
  return (
    <Badge tone={tone} icon={icon}>
      {word}
      {cause === "" || word === "closed" ? "" : ` (${CAUSES[cause] ?? cause})`}
    </Badge>
  );
}

/** A probe that is due waits for a call: nothing probes by itself. */
export function NextProbe({ circuit: { report, reportedAt } }: { readonly circuit: GuardCircuit }) {
  const at = report?.nextProbeAt;
  if (at === undefined) return "–";
  const isDue = reportedAt !== undefined && timestampMs(at) <= timestampMs(reportedAt);
  return isDue ? "with the next call" : <Time at={at} />;
}
