import { Link } from "wouter";
import { Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { DecisionSummary } from "@datacrawl/proto/datacrawl/authz/v1/decisions_pb";
import { DecisionBadge, reasonWord } from "./decision.tsx";
import { Table } from "./table.tsx";
import { AgentId, Untrusted } from "./text.tsx";
import { Time } from "./time.tsx";

export function DecisionTable({ rows }: { readonly rows: readonly DecisionSummary[] }) {
  return <Table dense label="Decisions, newest first" rows={rows} keyOf={(row) => row.decisionId} columns={COLUMNS} />;
}

const COLUMNS = [
  { title: "When", cell: (row: DecisionSummary) => <Time at={dateOf(row.recordedAtUs)} /> },
  { title: "Decision", cell: (row: DecisionSummary) => <DecisionBadge decision={row.decision} reason={row.reason} /> },
  {
    title: "Agent",
    cell: (row: DecisionSummary) => (
      <>
        <AgentId id={row.agentId} />
        {row.principal === undefined ? null : (
          <span className="muted">
            {" "}
            for <Untrusted text={row.principal} limit={40} />
          </span>
        )}
      </>
    ),
  },
  {
    title: "Tool",
    cell: (row: DecisionSummary) => (
      <span className="tool">
        <Untrusted text={row.tool} limit={80} />
      </span>
    ),
  },
  {
    title: "Why",
    cell: (row: DecisionSummary) => (
      <>
        <Link href={`/decisions/${row.decisionId}`}>
          <Untrusted text={row.message || reasonWord(row.reason)} limit={160} />
        </Link>
        {row.source === Source.GUARD ? <span className="muted"> (said by a guard)</span> : null}
      </>
    ),
  },
];

export function dateOf(micros: bigint): Date {
  return new Date(Number(micros / 1000n));
}
