import { useInfiniteQuery } from "@connectrpc/connect-query";
import { useState } from "react";
import { Link } from "wouter";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { Outcome } from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import type { Execution } from "@datacrawl/proto/datacrawl/authz/v1/executions_pb";
import { OperatorRole } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { useRenewed } from "../live.tsx";
import { Page } from "../page.tsx";
import { useSearch } from "../search.ts";
import { useMay } from "../session.tsx";
import { ExecutionBadge } from "../ui/execution.tsx";
import { type Choices, Select } from "../ui/field.tsx";
import { More } from "../ui/pages.tsx";
import { ResolveExecution } from "../ui/resolve.tsx";
import { SearchField } from "../ui/search-field.tsx";
import { Empty, Shown } from "../ui/state.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { AgentId, Untrusted } from "../ui/text.tsx";
import { Time } from "../ui/time.tsx";

const CHOICES: Choices = [
  ["unresolved", "unresolved"],
  ["all", "all"],
];

/** What agents have started, and what nobody has reported the end of. */
export function ExecutionsPage() {
  const [search, setSearch] = useSearch();
  const agentId = search.get("agent") ?? "";
  const unresolved = search.get("show") !== "all";
  const executions = useInfiniteQuery(
    AdminService.method.listExecutions,
    { unresolved, agentId, pageSize: 50, pageToken: "" },
    { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined },
  );
  useRenewed(executions.refetch);
  const mayResolve = useMay(OperatorRole.OPERATOR);
  const [resolving, setResolving] = useState<Execution | null>(null);
  return (
    <Page
      title="Executions"
      lead="Each allowed decision is started once. Unresolved is what was started and not reported in time: look whether the action happened, and record it."
    >
      <search className="card filters">
        <Select
          label="Show"
          choices={CHOICES}
          value={unresolved ? "unresolved" : "all"}
          onChange={(show) => setSearch({ show: show === "all" ? show : "" })}
        />
        <SearchField label="Agent" value={agentId} onChange={(agent) => setSearch({ agent })} />
      </search>
      <section className="card" aria-label="Executions">
        <Shown of={executions} what="executions">
          {({ pages }) => {
            const rows = pages.flatMap((page) => page.executions);
            return (
              <>
                {rows.length === 0 ? (
                  <NoExecutions unresolved={unresolved} searched={agentId !== ""} />
                ) : (
                  <Table
                    label={unresolved ? "Executions, the longest unresolved first" : "Executions, newest first"}
                    rows={rows}
                    keyOf={(row) => row.executionId}
                    columns={mayResolve ? [...COLUMNS, resolveColumn(setResolving)] : COLUMNS}
                  />
                )}
                <More
                  hasMore={executions.hasNextPage}
                  busy={executions.isFetchingNextPage}
                  onMore={() => void executions.fetchNextPage()}
                />
              </>
            );
          }}
        </Shown>
      </section>
      {resolving === null ? null : <ResolveExecution execution={resolving} onClose={() => setResolving(null)} />}
    </Page>
  );
}

function NoExecutions({ unresolved, searched }: { readonly unresolved: boolean; readonly searched: boolean }) {
  if (unresolved) return <Empty title="Nothing is unresolved" />;
  if (searched) return <Empty title="This agent has started nothing" />;
  return (
    <Empty title="Nothing was started yet">
      <p>
        Agents start what was allowed with <code>BeginExecution</code>.
      </p>
    </Empty>
  );
}

const COLUMNS: readonly Column<Execution>[] = [
  { title: "State", cell: (row) => <ExecutionBadge execution={row} /> },
  {
    title: "Tool",
    cell: (row) => (
      <Link className="tool" href={`/decisions/${row.decisionId}`}>
        <Untrusted text={row.tool} limit={80} />
      </Link>
    ),
  },
  { title: "Agent", cell: (row) => <AgentId id={row.agentId} /> },
  { title: "Started", cell: (row) => <Time at={row.startedAt} /> },
  {
    title: "Ended",
    cell: (row) =>
      row.outcome === Outcome.UNSPECIFIED ? (
        <>
          report due <Time at={row.reportDueAt} />
        </>
      ) : (
        <>
          <Time at={row.endedAt} />
          {row.resolvedBy === "" ? null : `, resolved by ${row.resolvedBy}`}
        </>
      ),
  },
];

function resolveColumn(onResolve: (execution: Execution) => void): Column<Execution> {
  return {
    title: "Actions",
    cell: (row) =>
      row.unresolved ? (
        <button
          type="button"
          className="link"
          onClick={() => onResolve(row)}
          aria-label={`resolve the execution ${row.executionId}`}
        >
          resolve
        </button>
      ) : (
        "–"
      ),
  };
}
