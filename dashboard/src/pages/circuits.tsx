import { useInfiniteQuery } from "@connectrpc/connect-query";
import { Link } from "wouter";
import { AdminService, type GuardCircuit } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { useRenewed } from "../live.tsx";
import { Page } from "../page.tsx";
import { useSearch } from "../search.ts";
import { CircuitBadge, NextProbe } from "../ui/circuit.tsx";
import { type Choices, Select } from "../ui/field.tsx";
import { More } from "../ui/pages.tsx";
import { Empty, Shown } from "../ui/state.tsx";
import { Table } from "../ui/table.tsx";
import { AgentId, Untrusted } from "../ui/text.tsx";
import { Time } from "../ui/time.tsx";

const CHOICES: Choices = [
  ["all", "all"],
  ["open", "open, half-open or recovering"],
];

/** The guards' circuits as they were last reported. */
export function CircuitsPage() {
  const [search, setSearch] = useSearch();
  const shown = search.get("show") === "open" ? "open" : "all";
  const circuits = useInfiniteQuery(
    AdminService.method.listCircuits,
    { excludeClosed: shown === "open", pageSize: 100, pageToken: "" },
    { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined },
  );
  useRenewed(circuits.refetch);
  return (
    <Page
      title="Circuits"
      lead="Each guard's circuit, as it last reported it. While one is open, its agent is denied at once, without asking the service."
    >
      <search className="card filters">
        <Select
          label="Show"
          choices={CHOICES}
          value={shown}
          onChange={(show) => setSearch({ show: show === "all" ? "" : show })}
        />
      </search>
      <section className="card" aria-label="Circuits">
        <Shown of={circuits} what="circuits">
          {({ pages }) => {
            const rows = pages.flatMap((page) => page.circuits);
            return (
              <>
                {rows.length === 0 ? (
                  <NoCircuits shown={shown} />
                ) : (
                  <Table
                    label="Circuits, by agent"
                    rows={rows}
                    keyOf={(row) => `${row.agentId} ${row.journalId}`}
                    columns={COLUMNS}
                  />
                )}
                <More
                  hasMore={circuits.hasNextPage}
                  busy={circuits.isFetchingNextPage}
                  onMore={() => void circuits.fetchNextPage()}
                />
              </>
            );
          }}
        </Shown>
      </section>
    </Page>
  );
}

function NoCircuits({ shown }: { readonly shown: "all" | "open" }) {
  if (shown === "open") return <Empty title="No circuit is open" />;
  return (
    <Empty title="No guard has reported">
      <p>
        Guards with a journal report every few seconds: the library with <code>journalDir</code>, and each sidecar.
      </p>
    </Empty>
  );
}

const COLUMNS = [
  {
    title: "Agent",
    cell: ({ agentId }: GuardCircuit) => (
      <Link href={`/circuits/${agentId}`}>
        <AgentId id={agentId} />
      </Link>
    ),
  },
  { title: "State", cell: (circuit: GuardCircuit) => <CircuitBadge circuit={circuit} /> },
  { title: "Failures", cell: ({ report }: GuardCircuit) => report?.consecutiveFailures ?? 0, numeric: true },
  {
    title: "Next probe",
    cell: (circuit: GuardCircuit) => <NextProbe circuit={circuit} />,
  },
  {
    title: "Last error",
    cell: ({ report }: GuardCircuit) => <Untrusted text={report?.lastErrors[0] ?? "–"} limit={200} />,
  },
  { title: "Not uploaded", cell: ({ report }: GuardCircuit) => String(report?.unsyncedRecords ?? 0n), numeric: true },
  { title: "Reported", cell: ({ reportedAt }: GuardCircuit) => <Time at={reportedAt} /> },
];
