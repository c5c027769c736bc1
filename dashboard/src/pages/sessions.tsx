import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { useInfiniteQuery, useQuery } from "@connectrpc/connect-query";
import { useMemo } from "react";
import { Link } from "wouter";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import type { DecisionSummary } from "@datacrawl/proto/datacrawl/authz/v1/decisions_pb";
import { MOST_SHOWN, useLive, useNewDecisions, useRenewed } from "../live.tsx";
import { Page } from "../page.tsx";
import { useSearch } from "../search.ts";
import { Badge } from "../ui/badge.tsx";
import { Principal } from "../ui/claims.tsx";
import { dateOf } from "../ui/decision-table.tsx";
import { DecisionBadge, reasonWord } from "../ui/decision.tsx";
import { More } from "../ui/pages.tsx";
import { SearchField } from "../ui/search-field.tsx";
import { Empty, Shown } from "../ui/state.tsx";
import { AgentId, Untrusted } from "../ui/text.tsx";
import { ExactTime } from "../ui/time.tsx";

/** All decisions of a session, as they followed on each other. */
export function SessionsPage() {
  const [search, setSearch] = useSearch();
  const id = search.get("id") ?? "";
  return (
    <Page
      title="Session"
      lead="What was decided in one run or conversation, oldest first. Agents say which session a call belongs to."
    >
      <search className="card filters">
        <div className="wide">
          <SearchField
            label="Session"
            hint="The whole id. Decisions show theirs."
            className="mono"
            value={id}
            onChange={(session) => setSearch({ id: session })}
          />
        </div>
      </search>
      <section className="card" aria-label="Timeline">
        {id === "" ? <Empty title="Which session?" /> : <Timeline key={id} sessionId={id} />}
      </section>
    </Page>
  );
}

function Timeline({ sessionId }: { readonly sessionId: string }) {
  const filter = useMemo(() => ({ sessionId }), [sessionId]);
  const found = useInfiniteQuery(
    AdminService.method.listDecisions,
    { filter, pageSize: 100, pageToken: "" },
    { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined },
  );
  const { decisions: news, gap } = useNewDecisions(filter);
  const shown = [...news, ...(found.data?.pages.flatMap((page) => page.decisions) ?? [])];
  const first = shown.map(({ recordedAtUs }) => recordedAtUs).reduce<bigint | null>(earlier, null);
  const unresolved = useUnresolved(sessionId, first);
  return (
    <Shown of={found} what="the session">
      {({ pages }) => {
        const rows = oldestFirst(shown);
        const unfinished = pages.at(-1)?.timeWasUp === true;
        return (
          <>
            {unfinished ? (
              <p className="hint">
                The time for one search was up before all was searched; "Show earlier" goes on from there.
              </p>
            ) : null}
            <More
              words="Show earlier"
              hasMore={found.hasNextPage}
              busy={found.isFetchingNextPage}
              onMore={() => void found.fetchNextPage()}
            />
            {rows.length === 0 ? (
              <Empty title={unfinished ? "No decision of this session so far" : "No decision is of this session"} />
            ) : (
              <ol className="timeline">
                {rows.map((row) => (
                  <Entry key={row.decisionId} row={row} isUnresolved={unresolved.has(row.decisionId)} />
                ))}
              </ol>
            )}
            {gap || news.length === MOST_SHOWN ? (
              <p className="hint" role="status">
                Some came too fast to be shown here: load the page again.
              </p>
            ) : null}
          </>
        );
      }}
    </Shown>
  );
}

/** Those of the session's decisions since `from` whose execution is unresolved; null before any is shown. */
function useUnresolved(sessionId: string, from: bigint | null): ReadonlySet<string> {
  const count = useLive().overview?.unresolvedExecutions ?? 0;
  const recordedFrom = timestampFromMs(Number((from ?? 0n) / 1000n));
  const filter = { sessionId, unresolvedExecution: true, recordedFrom };
  const { data, refetch } = useQuery(
    AdminService.method.listDecisions,
    { filter, pageSize: 1000 },
    { enabled: count > 0 && from !== null, placeholderData: (shown) => shown },
  );
  useRenewed(() => (count > 0 && from !== null ? refetch() : undefined));
  return new Set(count > 0 ? data?.decisions.map(({ decisionId }) => decisionId) : []);
}

function earlier(one: bigint | null, other: bigint): bigint {
  return one === null || other < one ? other : one;
}

function oldestFirst(decisions: readonly DecisionSummary[]): DecisionSummary[] {
  const rows = new Map(decisions.map((row) => [row.decisionId, row]));
  const order = (row: DecisionSummary): string => `${String(row.recordedAtUs).padStart(20, "0")} ${row.decisionId}`;
  return [...rows.values()].toSorted((one, other) => (order(one) < order(other) ? -1 : 1));
}

function Entry({ row, isUnresolved }: { readonly row: DecisionSummary; readonly isUnresolved: boolean }) {
  const { agentId, tool, principal } = row;
  return (
    <li>
      <p className="muted">
        <ExactTime at={dateOf(row.recordedAtUs)} />
      </p>
      <p>
        <DecisionBadge decision={row.decision} reason={row.reason} />{" "}
        {isUnresolved ? <Badge tone="outage">unresolved</Badge> : null} <AgentId id={agentId} /> asked to call{" "}
        <strong>
          <Untrusted text={tool} limit={120} />
        </strong>
        {principal === undefined ? null : (
          <>
            {" "}
            for <Principal name={principal} />
          </>
        )}
      </p>
      <p>
        <Link href={`/decisions/${row.decisionId}`}>
          <Untrusted text={row.message || reasonWord(row.reason)} limit={160} />
        </Link>
        {row.source === Source.GUARD ? <span className="muted"> (said by a guard)</span> : null}
      </p>
    </li>
  );
}
