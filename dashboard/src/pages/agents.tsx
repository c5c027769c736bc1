import { useInfiniteQuery } from "@connectrpc/connect-query";
import { useState } from "react";
import { Link } from "wouter";
import { type Agent, AdminService, AgentState } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { OperatorRole } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { Page } from "../page.tsx";
import { useSearch } from "../search.ts";
import { useMay } from "../session.tsx";
import { Badge, type Tone } from "../ui/badge.tsx";
import { More } from "../ui/pages.tsx";
import { SearchField } from "../ui/search-field.tsx";
import { Empty, Shown } from "../ui/state.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { person, Untrusted } from "../ui/text.tsx";
import { Time } from "../ui/time.tsx";
import { AgentDialog, type Order } from "./agent-orders.tsx";

const STATES: Readonly<Record<AgentState, { readonly word: string; readonly tone: Tone }>> = {
  [AgentState.UNSPECIFIED]: { word: "unknown", tone: "neutral" },
  [AgentState.ACTIVE]: { word: "active", tone: "allow" },
  [AgentState.FROZEN]: { word: "frozen", tone: "review" },
  [AgentState.REVOKED]: { word: "revoked", tone: "deny" },
};

/** The agents, and what an operator may do to each. */
export function AgentsPage() {
  const [search, setSearch] = useSearch();
  const prefix = search.get("agent") ?? "";
  const agents = useInfiniteQuery(
    AdminService.method.listAgents,
    { agentIdPrefix: prefix, pageSize: 100, pageToken: "" },
    { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined },
  );
  const mayChange = useMay(OperatorRole.OPERATOR);
  const [order, setOrder] = useState<Order | null>(null);
  return (
    <Page
      title="Agents"
      lead="Who may ask. A frozen agent is denied everything within a second; a revoked one is gone for good."
      actions={
        mayChange ? (
          <button type="button" className="primary" onClick={() => setOrder({ kind: "create" })}>
            Create agent
          </button>
        ) : null
      }
    >
      <search className="card filters">
        <SearchField label="Id begins with" value={prefix} onChange={(agent) => setSearch({ agent })} />
      </search>
      <section className="card" aria-label="Agents">
        <Shown of={agents} what="agents">
          {({ pages }) => {
            const rows = pages.flatMap((page) => page.agents);
            return (
              <>
                {rows.length === 0 ? (
                  <NoAgents searched={prefix !== ""} />
                ) : (
                  <Table
                    dense
                    label="Agents, by id"
                    rows={rows}
                    keyOf={(agent) => agent.agentId}
                    columns={mayChange ? [...COLUMNS, actions(setOrder)] : COLUMNS}
                  />
                )}
                <More
                  hasMore={agents.hasNextPage}
                  busy={agents.isFetchingNextPage}
                  onMore={() => void agents.fetchNextPage()}
                />
              </>
            );
          }}
        </Shown>
      </section>
      {order === null ? null : <AgentDialog order={order} onClose={() => setOrder(null)} />}
    </Page>
  );
}

function NoAgents({ searched }: { readonly searched: boolean }) {
  if (searched) return <Empty title="No agent's id begins with that" />;
  return (
    <Empty title="No agents yet">
      <p>
        Create one here, or with <code>datacrawl agent create ID</code>.
      </p>
    </Empty>
  );
}

const COLUMNS: readonly Column<Agent>[] = [
  { title: "Agent", cell: ({ agentId }) => <Link href={`/circuits/${agentId}`}>{agentId}</Link> },
  { title: "State", cell: (agent) => <State agent={agent} /> },
  { title: "Created", cell: ({ createdAt }) => <Time at={createdAt} /> },
  { title: "Keys", cell: ({ keyIds }) => (keyIds.length === 0 ? "none" : <code>{keyIds.join(" ")}</code>) },
];

function State({ agent: { state, freeze } }: { readonly agent: Agent }) {
  const { word, tone } = STATES[state] ?? STATES[AgentState.UNSPECIFIED];
  return (
    <>
      <Badge tone={tone}>{word}</Badge>
      {freeze === undefined ? null : (
        <>
          {" "}
          by {person(freeze.operator)} <Time at={freeze.frozenAt} />: <Untrusted text={freeze.reason} limit={500} />
        </>
      )}
      {state === AgentState.FROZEN && freeze === undefined
        ? " (the operator is no longer in the database: look in the exports)"
        : null}
    </>
  );
}

function actions(onOrder: (order: Order) => void): Column<Agent> {
  return {
    title: "Actions",
    cell: (agent) => {
      const orders = ordersFor(agent);
      if (orders.length === 0) return "–";
      return (
        <span className="actions">
          {orders.map(({ words, ...order }) => (
            <button
              key={words}
              type="button"
              className="link"
              onClick={() => onOrder(order)}
              aria-label={`${words} ${agent.agentId}`}
            >
              {words}
            </button>
          ))}
        </span>
      );
    },
  };
}

/** What may be done to an agent, in the words of its buttons. */
function ordersFor({ agentId, state, keyIds }: Agent): (Order & { readonly words: string })[] {
  if (state !== AgentState.ACTIVE && state !== AgentState.FROZEN) return [];
  const freezing = state === AgentState.ACTIVE ? "freeze" : "unfreeze";
  return [
    { kind: freezing, agentId, words: freezing },
    { kind: "keys", agentId, keyIds, words: "keys" },
    { kind: "revoke", agentId, words: "revoke" },
  ];
}
