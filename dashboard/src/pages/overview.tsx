import { timestampDate } from "@bufbuild/protobuf/wkt";
import { useMemo } from "react";
import { Link } from "wouter";
import type { Overview } from "../../../gen/datacrawl/authz/v1/overview_pb.ts";
import { useLive } from "../live.tsx";
import { Page } from "../page.tsx";
import { Badge } from "../ui/badge.tsx";
import { StackedChart } from "../ui/chart.tsx";
import { Empty, Loading } from "../ui/state.tsx";
import { Tail } from "../ui/tail.tsx";
import { Time } from "../ui/time.tsx";

const EVERYTHING = {};

/** What is wrong, and what to do: the page for 3 a.m. */
export function OverviewPage() {
  const { overview } = useLive();
  return (
    <Page title="Overview" lead="The last hour, and whatever needs a person.">
      {overview === undefined ? <Loading what="the overview" /> : <Figures overview={overview} />}
      <section className="card" aria-label="Last decisions">
        <h2>Last decisions</h2>
        <Tail filter={EVERYTHING} most={15} />
      </section>
    </Page>
  );
}

function Figures({ overview }: { readonly overview: Overview }) {
  const { circuits, latency } = overview;
  const sums = useMemo(() => sumsOf(overview), [overview]);
  const openCircuits = (circuits?.open ?? 0) + (circuits?.halfOpen ?? 0);
  return (
    <>
      <Attention overview={overview} openCircuits={openCircuits} outages={sums.outage} />
      <div className="grid">
        <Figure label="Decisions in the last hour" value={sums.total.toLocaleString("en")} />
        <Figure label="Denied by policy" value={sums.policy.toLocaleString("en")} />
        <Figure
          label="Denied by an outage"
          value={sums.outage.toLocaleString("en")}
          tone={sums.outage > 0 ? "outage" : undefined}
        />
        <Figure
          label="Answer time, median and 99th percentile"
          value={latency === undefined ? "–" : `${milliseconds(latency.p50Ms)} / ${milliseconds(latency.p99Ms)}`}
          hint="of this replica's last 1,024 answers"
        />
      </div>
      <section className="card" aria-label="Decisions by minute">
        <h2>Decisions by minute</h2>
        {sums.total === 0 ? <Empty title="No decision in the last hour" /> : <ByMinute overview={overview} />}
        {overview.countsIncomplete ? (
          <p className="hint">Some minutes could not be counted in time; they follow.</p>
        ) : null}
      </section>
    </>
  );
}

interface Sums {
  readonly total: number;
  readonly policy: number;
  readonly outage: number;
}

function sumsOf({ minutes }: Overview): Sums {
  let [total, policy, outage] = [0, 0, 0];
  for (const { counts } of minutes) {
    if (counts === undefined) continue;
    policy += Number(counts.deniedByPolicy);
    outage += Number(counts.deniedByOutage);
    total += Number(
      counts.allowed + counts.bypassed + counts.needsReview + counts.deniedByPolicy + counts.deniedByOutage,
    );
  }
  return { total, policy, outage };
}

interface AttentionProps {
  readonly overview: Overview;
  readonly openCircuits: number;
  readonly outages: number;
}

/** What needs a person, each with the way to it; or that nothing does. */
function Attention({ overview, openCircuits, outages }: AttentionProps) {
  const { pendingReviews, activeBypasses, lastVerification, circuits } = overview;
  const points = [
    lastVerification?.ok === false
      ? {
          key: "audit",
          tone: "deny" as const,
          text: `The audit trail does not verify: ${lastVerification.summary}`,
          href: "/audit",
        }
      : null,
    openCircuits > 0
      ? {
          key: "circuits",
          tone: "outage" as const,
          text: `${count(openCircuits, "circuit is", "circuits are")} open${(circuits?.forced ?? 0) > 0 ? `, ${circuits?.forced} by an operator's order` : ""}: those agents are denied at once`,
          href: "/circuits?show=open",
        }
      : null,
    outages > 0 && openCircuits === 0
      ? {
          key: "outages",
          tone: "outage" as const,
          text: `Guards denied ${count(outages, "call", "calls")} in the last hour because of an outage`,
          href: "/decisions?source=guard&since=1h",
        }
      : null,
    activeBypasses > 0
      ? {
          key: "bypass",
          tone: "review" as const,
          text: `${count(activeBypasses, "bypass is", "bypasses are")} in force`,
          href: "/bypass",
        }
      : null,
    pendingReviews > 0
      ? {
          key: "reviews",
          tone: "review" as const,
          text: `${count(pendingReviews, "review waits", "reviews wait")} for an answer`,
          href: "/reviews",
        }
      : null,
  ].filter((point) => point !== null);
  return (
    <section className="card" aria-label="What needs a person">
      <h2>What needs a person</h2>
      {points.length === 0 ? (
        <p>
          <Badge tone="allow">nothing</Badge> <LastVerification overview={overview} />
        </p>
      ) : (
        <ul className="attention">
          {points.map(({ key, tone, text, href }) => (
            <li key={key}>
              <Badge tone={tone}>look</Badge> <Link href={href}>{text}</Link>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function LastVerification({ overview: { lastVerification } }: { readonly overview: Overview }) {
  if (lastVerification === undefined) return <span className="muted">The audit trail has not been verified yet.</span>;
  return (
    <span className="muted">
      The audit trail was verified <Time at={lastVerification.at} />.
    </span>
  );
}

function count(number: number, one: string, many: string): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

function milliseconds(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

interface FigureProps {
  readonly label: string;
  readonly value: string;
  readonly hint?: string;
  readonly tone?: "outage" | undefined;
}

function Figure({ label, value, hint, tone }: FigureProps) {
  return (
    <div className="card figure">
      <span className="muted">{label}</span>
      <strong className={tone}>{value}</strong>
      {hint === undefined ? null : <span className="hint">{hint}</span>}
    </div>
  );
}

function ByMinute({ overview: { minutes } }: { readonly overview: Overview }) {
  const { times, series } = useMemo(() => {
    const of = (pick: "allowed" | "bypassed" | "needsReview" | "deniedByPolicy" | "deniedByOutage"): number[] =>
      minutes.map(({ counts }) => Number(counts?.[pick] ?? 0n));
    return {
      times: minutes.map(({ minute }) => (minute === undefined ? 0 : timestampDate(minute).getTime() / 1000)),
      series: [
        { label: "allowed", colour: "--allow", values: of("allowed") },
        { label: "allowed by bypass", colour: "--accent", values: of("bypassed") },
        { label: "needs review", colour: "--review", values: of("needsReview") },
        { label: "denied by policy", colour: "--deny", values: of("deniedByPolicy") },
        { label: "denied by an outage", colour: "--outage", values: of("deniedByOutage") },
      ],
    };
  }, [minutes]);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const words = series.map(({ label, values }) => `${label}: ${sum(values)}`).join(", ");
  return (
    <StackedChart label={`Decisions in the last hour by minute. In all, ${words}.`} times={times} series={series} />
  );
}
