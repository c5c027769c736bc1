import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { useSyncExternalStore } from "react";

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
] as const;

/** "3min ago", with the exact time at hand. */
export function Time({ at }: { readonly at: Date | Timestamp | undefined }) {
  const now = useNow();
  if (at === undefined) return <span className="muted">never</span>;
  const date = at instanceof Date ? at : timestampDate(at);
  const exact = date.toISOString();
  return (
    <time dateTime={exact} title={exact}>
      {relative(date.getTime() - now)}
    </time>
  );
}

/** When something ends: "in 3h, 18:04 UTC", for a phone shows no title. */
export function Until({ at }: { readonly at: Timestamp | undefined }) {
  if (at === undefined) return <Time at={at} />;
  return (
    <>
      <Time at={at} />, <span className="nowrap">{clock(timestampDate(at))}</span>
    </>
  );
}

/** The hour alone where the day is today's. */
function clock(date: Date): string {
  const [day, hour] = date.toISOString().split("T") as [string, string];
  const today = new Date().toISOString().slice(0, 10);
  return `${day === today ? "" : `${day} `}${hour.slice(0, 5)} UTC`;
}

/** The exact time, for the steps of a decision. */
export function ExactTime({ at }: { readonly at: Date | Timestamp | undefined }) {
  if (at === undefined) return <span className="muted">never</span>;
  const date = at instanceof Date ? at : timestampDate(at);
  return (
    <time dateTime={date.toISOString()}>
      {date.toISOString().replace("T", " ").replace("Z", " UTC")}{" "}
      <span className="muted">
        (<Time at={date} />)
      </span>
    </time>
  );
}

export function relative(milliseconds: number): string {
  const [unit, size] = UNITS.find(([, size]) => Math.abs(milliseconds) >= size) ?? ["second", 1000];
  return RELATIVE.format(Math.trunc(milliseconds / size), unit);
}

const listeners = new Set<() => void>();
let tick = Date.now();
setInterval(() => {
  tick = Date.now();
  for (const listener of listeners) listener();
}, 1000);

/** The time in milliseconds, renewed each second: one clock for all that is shown. */
export function useNow(): number {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => tick,
  );
}
