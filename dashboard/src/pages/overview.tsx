import { timestampDate } from "@bufbuild/protobuf/wkt";
import { useMemo } from "react";
import { Link } from "wouter";
import type { Overview } from "@datacrawl/proto/datacrawl/authz/v1/overview_pb";
import { useLive } from "../live.tsx";
import { Page } from "../page.tsx";
import { Badge, type Tone } from "../ui/badge.tsx";
import { StackedChart } from "../ui/chart.tsx";
import { Empty, Loading } from "../ui/state.tsx";
import { Tail } from "../ui/tail.tsx";
import { Untrusted } from "../ui/text.tsx";
import { Time } from "../ui/time.tsx";

const EVERYTHING = {};

/** What is wrong, and what to do: the page for 3 a.m. */
export function OverviewPage() {
  const { overview, staleSince } = useLive();
  return (
    <Page title="Overview" lead="The last hour, and whatever needs a person.">
      {overview !== undefined ? <Figures overview={overview} stale={staleSince !== null} /> : null}
      {overview === undefined && staleSince === null ? <Loading what="the overview" /> : null}
      {overview === undefined && staleSince !== null ? (
        <Empty title="Nothing is known: the service has not been heard" />
      ) : null}
      <section className="card" aria-label="Last decisions">
        <h2>Last decisions</h2>
        <Tail filter={EVERYTHING} most={15} />
      </section>
    </Page>
  );
}

function Figures({ overview, stale }: { readonly overview: Overview; readonly stale: boolean }) {
  const { circuits, latency } = overview;
  const sums = useMemo(() => sumsOf(overview), [overview]);
  const openCircuits = (circuits?.open ?? 0) + (circuits?.halfOpen ?? 0);
  return (
    <>
      <Attention overview={overview} stale={stale} openCircuits={openCircuits} outages={sums.outage} />
      <div className="grid">
        <Figure label="Decisions in the last hour" value={sums.total.toLocaleString("en")} />
        <Figure label="Denied by policy" value={sums.policy.toLocaleString("en")} />
        <Figure
          label="Denied by an outage"
          value={sums.outage.toLocaleString("en")}
          tone={sums.outage > 0 ? "outage" : undefined}
        />
        <Figure
          label="Answer time, median / p99"
          value={latency === undefined ? "–" : `${milliseconds(latency.p50Ms)} / ${milliseconds(latency.p99Ms)} ms`}
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
  /** Whether that may have changed, as the service cannot be heard. */
  readonly stale: boolean;
  readonly openCircuits: number;
  readonly outages: number;
}

/** One thing that needs a person: what it is in a word, what is wrong, where to look, and what to do. */
interface Point {
  readonly tone: Tone;
  readonly word: string;
  readonly text: string;
  readonly href: string;
  readonly todo: string;
}

/** What needs a person, the worst first; or that nothing does. */
function Attention(props: AttentionProps) {
  const points = pointsOf(props);
  return (
    <section className="card" aria-label="What needs a person">
      <h2>{props.stale ? "What needed a person when the service was last heard" : "What needs a person"}</h2>
      {points.length === 0 ? (
        <p>
          <Badge tone={props.stale ? "neutral" : "allow"}>nothing</Badge> <LastVerification overview={props.overview} />
        </p>
      ) : (
        <ul className="attention">
          {points.map(({ tone, word, text, href, todo }) => (
            <li key={text}>
              <Badge tone={tone}>{word}</Badge>
              <p>
                <Link href={href}>
                  <Untrusted text={text} limit={300} />
                </Link>
                . <span className="muted">{todo}</span>
              </p>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function pointsOf({ overview, openCircuits, outages }: Omit<AttentionProps, "stale">): Point[] {
  const { pendingReviews, activeBypasses, lastVerification, circuits, warnings, unresolvedExecutions } = overview;
  const forced = circuits?.forced ?? 0;
  const points: Point[] = [];
  if (lastVerification?.ok === false)
    points.push({
      tone: "deny",
      word: "audit",
      text: `The audit trail does not verify: ${lastVerification.summary}`,
      href: "/audit",
      todo: "Keep the database as it is, look at the rows that are named, and find out who could write to it.",
    });
  for (const warning of warnings)
    points.push({
      tone: "deny",
      word: "warning",
      text: warning,
      href: warning.startsWith("the newest policies") ? "/policies" : "/audit",
      todo: overview.inRecovery ? "Agents are allowed nothing until it is acknowledged." : "Decisions go on as before.",
    });
  if (openCircuits > forced)
    points.push({
      tone: "outage",
      word: "outage",
      text: `${count(openCircuits - forced, "circuit is", "circuits are")} open: what is asked there is denied at once, unless a bypass lets it through`,
      href: "/circuits?show=open",
      todo: "A guard opens it when it cannot reach the service; its last error says why. It closes by itself when a call gets through.",
    });
  if (outages > 0 && openCircuits === 0)
    points.push({
      tone: "outage",
      word: "outage",
      text: `Guards denied ${count(outages, "call", "calls")} in the last hour because of an outage`,
      href: "/decisions?source=guard&since=1h",
      todo: "No guard reports an open circuit now.",
    });
  if (forced > 0)
    points.push({
      tone: "outage",
      word: "held",
      text: `${count(forced, "circuit is", "circuits are")} held open by an operator's order`,
      href: "/circuits?show=open",
      todo: "Reset it when its reason is gone.",
    });
  if (unresolvedExecutions > 0)
    points.push({
      tone: "outage",
      word: "execution",
      text: `${count(unresolvedExecutions, "execution is", "executions are")} unresolved: nobody has reported the outcome`,
      href: "/executions",
      todo: "Look whether the action happened, and record it.",
    });
  if (activeBypasses > 0)
    points.push({
      tone: "review",
      word: "bypass",
      text: `${count(activeBypasses, "bypass is", "bypasses are")} in force`,
      href: "/bypass",
      todo: "Clear it when its reason is gone.",
    });
  if (pendingReviews > 0)
    points.push({
      tone: "review",
      word: "review",
      text: `${count(pendingReviews, "review waits", "reviews wait")} for an answer`,
      href: "/reviews",
      todo: "Unanswered, each is denied when its time is up.",
    });
  return points;
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
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
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
        { label: "allowed", colour: "--chart-allow", values: of("allowed") },
        { label: "allowed by bypass", colour: "--chart-bypass", values: of("bypassed") },
        { label: "needs review", colour: "--chart-review", values: of("needsReview") },
        { label: "denied by policy", colour: "--chart-deny", values: of("deniedByPolicy") },
        { label: "denied by an outage", colour: "--chart-outage", values: of("deniedByOutage") },
      ],
    };
  }, [minutes]);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const words = series.map(({ label, values }) => `${label}: ${sum(values)}`).join(", ");
  return (
    <StackedChart label={`Decisions in the last hour by minute. In all, ${words}.`} times={times} series={series} />
  );
}
