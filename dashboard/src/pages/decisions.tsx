import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { useInfiniteQuery } from "@connectrpc/connect-query";
import { useMemo } from "react";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { Decision, Reason, ReasonSchema, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { Page } from "../page.tsx";
import { useSearch } from "../search.ts";
import { DecisionTable } from "../ui/decision-table.tsx";
import { type Choices, Select } from "../ui/field.tsx";
import { More } from "../ui/pages.tsx";
import { SearchField } from "../ui/search-field.tsx";
import { Empty, Shown } from "../ui/state.tsx";
import { Tail } from "../ui/tail.tsx";

const DECISIONS = { allow: Decision.ALLOW, deny: Decision.DENY, needs_review: Decision.NEEDS_REVIEW } as const;
const SOURCES = { service: Source.SERVICE, guard: Source.GUARD } as const;
const AGES = { "15m": 900, "1h": 3600, "24h": 86_400, "7d": 604_800 } as const;
const REASONS = ReasonSchema.values.filter(({ number }) => number !== Reason.UNSPECIFIED);

const CHOICES: readonly { readonly label: string; readonly name: string; readonly choices: Choices }[] = [
  {
    label: "Decision",
    name: "decision",
    choices: [
      ["", "any"],
      ["allow", "allow"],
      ["deny", "deny"],
      ["needs_review", "needs review"],
    ],
  },
  {
    label: "Reason",
    name: "reason",
    choices: [["", "any"], ...REASONS.map(({ localName: name }) => [name, name] as const)],
  },
  {
    label: "Decided by",
    name: "source",
    choices: [
      ["", "anyone"],
      ["service", "the service"],
      ["guard", "a guard, alone"],
    ],
  },
  {
    label: "Execution",
    name: "execution",
    choices: [
      ["", "any"],
      ["unresolved", "unresolved"],
    ],
  },
  {
    label: "Since",
    name: "since",
    choices: [
      ["", "ever"],
      ["15m", "15 minutes"],
      ["1h", "1 hour"],
      ["24h", "24 hours"],
      ["7d", "7 days"],
    ],
  },
];

/** Searching the trail. The search is in the address, so that it can be kept and sent to somebody. */
export function DecisionsPage() {
  const [search, setSearch] = useSearch();
  const live = search.get("live") === "1";
  const set = (name: string, value: string): void => setSearch({ [name]: value });
  const filter = useMemo(() => filterOf(search), [search]);
  return (
    <Page
      title="Decisions"
      lead="Every answer that was given, and what guards decided alone. Newest first."
      actions={
        <button type="button" aria-pressed={live} onClick={() => set("live", live ? "" : "1")}>
          {live ? "Stop following" : "Follow live"}
        </button>
      }
    >
      <search className="card filters">
        <SearchField label="Agent" value={search.get("agent") ?? ""} onChange={(value) => set("agent", value)} />
        <SearchField
          label="Tool"
          placeholder="gmail.*"
          value={search.get("tool") ?? ""}
          onChange={(value) => set("tool", value)}
        />
        <SearchField
          label="Principal"
          placeholder="on whose behalf"
          value={search.get("principal") ?? ""}
          onChange={(value) => set("principal", value)}
        />
        <SearchField label="Session" value={search.get("session") ?? ""} onChange={(value) => set("session", value)} />
        {CHOICES.map(({ label, name, choices }) => (
          <Select
            key={name}
            label={label}
            choices={choices}
            value={search.get(name) ?? ""}
            onChange={(value) => set(name, value)}
          />
        ))}
        <div className="wide">
          <SearchField
            label="Text"
            maxLength={200}
            placeholder="message, key or rule"
            value={search.get("text") ?? ""}
            onChange={(value) => set("text", value)}
          />
        </div>
      </search>
      <section className="card" aria-label="Decisions">
        {live ? <Tail filter={filter} most={100} /> : <Found filter={filter} searched={search.size > 0} />}
      </section>
    </Page>
  );
}

type Filter = ReturnType<typeof filterOf>;

function filterOf(search: URLSearchParams) {
  const decision = DECISIONS[search.get("decision") as keyof typeof DECISIONS];
  const reason = REASONS.find(({ localName }) => localName === search.get("reason"))?.number;
  const age = AGES[search.get("since") as keyof typeof AGES];
  return {
    agentId: search.get("agent") ?? "",
    tool: search.get("tool") ?? "",
    text: search.get("text") ?? "",
    grantId: search.get("grant") ?? "",
    principal: search.get("principal") ?? "",
    sessionId: search.get("session") ?? "",
    unresolvedExecution: search.get("execution") === "unresolved",
    decisions: decision === undefined ? [] : [decision],
    reasons: reason === undefined ? [] : [reason as Reason],
    source: SOURCES[search.get("source") as keyof typeof SOURCES] ?? Source.UNSPECIFIED,
    // To the minute: a time that moves with each keystroke would be another search.
    ...(age === undefined ? {} : { recordedFrom: timestampFromDate(new Date(minutes(Date.now()) - age * 1000)) }),
  };
}

function minutes(milliseconds: number): number {
  return Math.floor(milliseconds / 60_000) * 60_000;
}

function NoDecisions({ searched }: { readonly searched: boolean }) {
  if (searched) return <Empty title="No decision matches" />;
  return (
    <Empty title="No decisions yet">
      <p>Agents' questions appear here as soon as they are answered.</p>
    </Empty>
  );
}

interface FoundProps {
  readonly filter: Filter;
  readonly searched: boolean;
}

function Found({ filter, searched }: FoundProps) {
  const found = useInfiniteQuery(
    AdminService.method.listDecisions,
    { filter, pageSize: 50, pageToken: "" },
    { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined },
  );
  return (
    <Shown of={found} what="decisions">
      {({ pages }) => {
        const rows = pages.flatMap((page) => page.decisions);
        const unfinished = pages.at(-1)?.timeWasUp === true;
        return (
          <>
            {rows.length === 0 && !unfinished ? <NoDecisions searched={searched} /> : <DecisionTable rows={rows} />}
            {unfinished ? (
              <p className="hint">
                The time for one search was up before all was searched; "Show more" goes on from there.
              </p>
            ) : null}
            <More
              hasMore={found.hasNextPage}
              busy={found.isFetchingNextPage}
              onMore={() => void found.fetchNextPage()}
            />
          </>
        );
      }}
    </Shown>
  );
}
