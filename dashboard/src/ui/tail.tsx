import { useQuery } from "@connectrpc/connect-query";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { type DecisionFilter, useNewDecisions } from "../live.tsx";
import { DecisionTable } from "./decision-table.tsx";
import { Empty, Problem, Shown } from "./state.tsx";

/** What was decided last, and new decisions on top as they are recorded. */
export function Tail({ filter, most }: { readonly filter: DecisionFilter; readonly most: number }) {
  const { decisions, gap, staleSince } = useNewDecisions(filter);
  const earlier = useQuery(AdminService.method.listDecisions, { filter, pageSize: most });
  if (earlier.isError && earlier.data === undefined)
    return <Problem error={earlier.error} retry={() => void earlier.refetch()} />;
  const news = new Set(decisions.map(({ decisionId }) => decisionId));
  const rest = (earlier.data?.decisions ?? []).filter(({ decisionId }) => !news.has(decisionId));
  const shown = [...decisions, ...rest].slice(0, most);
  return (
    <>
      <p className="hint" role="status">
        {staleSince === null ? "Following" : "Lost touch, trying again"}: {decisions.length} new
        {gap ? "; some came too fast to be shown here, the search has them all" : ""}.
      </p>
      {shown.length > 0 ? (
        <DecisionTable rows={shown} />
      ) : (
        <Shown of={earlier} what="decisions">
          {() => <Empty title="Waiting for the first decision" />}
        </Shown>
      )}
    </>
  );
}
