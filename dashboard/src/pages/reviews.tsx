import { useInfiniteQuery } from "@connectrpc/connect-query";
import { Link } from "wouter";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { type Review, ReviewState, ReviewVerdict } from "@datacrawl/proto/datacrawl/authz/v1/reviews_pb";
import { useRenewed } from "../live.tsx";
import { Page } from "../page.tsx";
import { useSearch } from "../search.ts";
import { type Choices, Select } from "../ui/field.tsx";
import { More } from "../ui/pages.tsx";
import { ReviewBadge } from "../ui/review-badge.tsx";
import { Empty, Shown } from "../ui/state.tsx";
import { Table } from "../ui/table.tsx";
import { AgentId, Untrusted } from "../ui/text.tsx";
import { Time, Until } from "../ui/time.tsx";

const STATES = {
  open: ReviewState.OPEN,
  approved: ReviewState.APPROVED,
  rejected: ReviewState.REJECTED,
  expired: ReviewState.EXPIRED,
  withdrawn: ReviewState.WITHDRAWN,
  all: ReviewState.UNSPECIFIED,
} as const;

const CHOICES: Choices = [
  ["open", "waiting"],
  ["approved", "approved"],
  ["rejected", "rejected"],
  ["expired", "expired"],
  ["withdrawn", "approval withdrawn"],
  ["all", "all"],
];

/** What waits for a person. */
export function ReviewsPage() {
  const [search, setSearch] = useSearch();
  const shown = (search.get("state") ?? "open") as keyof typeof STATES;
  const reviews = useInfiniteQuery(
    AdminService.method.listReviews,
    { state: STATES[shown] ?? ReviewState.OPEN, pageSize: 50, pageToken: "" },
    { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined },
  );
  useRenewed(reviews.refetch);
  return (
    <Page title="Reviews" lead="Actions that wait for a person. Unanswered, each is denied when its time is up.">
      <search className="card filters">
        <Select label="Show" choices={CHOICES} value={shown} onChange={(state) => setSearch({ state })} />
      </search>
      <section className="card" aria-label="Reviews">
        <Shown of={reviews} what="reviews">
          {({ pages }) => {
            const rows = pages.flatMap((page) => page.reviews);
            return (
              <>
                {rows.length === 0 ? (
                  <Empty title={shown === "open" ? "Nothing waits for a person" : "No such review"} />
                ) : (
                  <Table label="Reviews, newest first" rows={rows} keyOf={(row) => row.reviewId} columns={COLUMNS} />
                )}
                <More
                  hasMore={reviews.hasNextPage}
                  busy={reviews.isFetchingNextPage}
                  onMore={() => void reviews.fetchNextPage()}
                />
              </>
            );
          }}
        </Shown>
      </section>
    </Page>
  );
}

const COLUMNS = [
  { title: "State", cell: (row: Review) => <ReviewBadge state={row.state} /> },
  {
    title: "Action",
    cell: (row: Review) => (
      <Link href={`/reviews/${row.reviewId}`}>
        <Untrusted text={row.tool} limit={80} />
      </Link>
    ),
  },
  { title: "Agent", cell: (row: Review) => <AgentId id={row.agentId} /> },
  { title: "Rule", cell: (row: Review) => <code>{row.ruleId}</code> },
  { title: "Approvals", cell: (row: Review) => `${approvals(row)} of ${row.approvers}`, numeric: true },
  { title: "Asked", cell: (row: Review) => <Time at={row.openedAt} /> },
  {
    title: "Time left",
    cell: (row: Review) => (row.state === ReviewState.OPEN ? <Until at={row.expiresAt} /> : "–"),
  },
];

function approvals({ answers }: Review): number {
  return answers.filter(({ verdict }) => verdict === ReviewVerdict.APPROVED).length;
}
