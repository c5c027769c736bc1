import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useEffectEvent,
  useMemo,
  useRef,
  useState,
} from "react";
import type { DecisionFilterSchema, DecisionSummary } from "@datacrawl/proto/datacrawl/authz/v1/decisions_pb";
import type { Overview } from "@datacrawl/proto/datacrawl/authz/v1/overview_pb";
import { queries, streams } from "./api.ts";
import { follow } from "./follow.ts";

export type DecisionFilter = MessageInitShape<typeof DecisionFilterSchema>;

/** What the stream does not carry is asked for no more often. */
const RENEW_MS = 2500;

/** How many new decisions a page keeps on show. */
export const MOST_SHOWN = 200;

interface Live {
  /** The newest that came; kept while the stream is lost. */
  readonly overview: Overview | undefined;
  /** Null while messages come; else since when none does, in milliseconds since 1970. */
  readonly staleSince: number | null;
  /** Counts up when messages come: at least every 5 s while the service lives, and seldom however many there are. */
  readonly heard: number;
  /** What was recorded since the page began to follow, newest first. */
  readonly decisions: readonly DecisionSummary[];
  /** Some were left out, as they came faster than they can be followed. */
  readonly gap: boolean;
  readonly followDecisions: (filter: DecisionFilter | null) => void;
}

const Context = createContext<Live | null>(null);

export function useLive(): Live {
  const live = useContext(Context);
  if (live === null) throw new Error("there is no stream here");
  return live;
}

/** The decisions that match, as they are recorded, for as long as the component is shown. */
export function useNewDecisions(filter: DecisionFilter): Live {
  const live = useLive();
  const { followDecisions } = live;
  useEffect(() => {
    followDecisions(filter);
    return () => followDecisions(null);
  }, [followDecisions, filter]);
  return live;
}

/** Refetches with each message of the stream what the stream itself does not carry. */
export function useRenewed(refetch: () => unknown): void {
  const { heard } = useLive();
  const first = useRef(heard);
  const renew = useEffectEvent(refetch);
  useEffect(() => {
    if (heard !== first.current) void renew();
  }, [heard]);
}

const NOTHING = { decisions: [] as readonly DecisionSummary[], gap: false };

/** One stream for the whole page: the overview, and the new decisions while somebody looks at them. */
export function LiveProvider({ children }: { readonly children: ReactNode }) {
  const [filter, setFilter] = useState<DecisionFilter | null>(null);
  const [overview, setOverview] = useState<Overview>();
  const [staleSince, setStaleSince] = useState<number | null>(null);
  const [heard, setHeard] = useState(0);
  const [news, setNews] = useState(NOTHING);
  useEffect(() => {
    const stop = new AbortController();
    let renewedAt = 0;
    let resumeToken = "";
    void follow(
      (signal) =>
        streams.watchAdmin(
          { overview: true, resumeToken, ...(filter === null ? {} : { decisions: filter }) },
          { signal },
        ),
      {
        message: (message) => {
          setStaleSince(null);
          if (performance.now() - renewedAt >= RENEW_MS) {
            renewedAt = performance.now();
            setHeard((before) => before + 1);
          }
          if (message.overview !== undefined) setOverview(message.overview);
          if (message.decisions.length > 0 || message.gap) setNews((before) => added(before, message));
          resumeToken = message.resumeToken;
        },
        lost: (error) => {
          // A meaningless filter is not an outage: the list reports it, and the overview continues.
          if (filter !== null && ConnectError.from(error).code === Code.InvalidArgument) setFilter(null);
          else setStaleSince((since) => since ?? Date.now());
        },
      },
      stop.signal,
    );
    return () => stop.abort();
  }, [filter]);
  // Whatever the lists show may have changed while nobody could be heard.
  useEffect(() => {
    if (staleSince === null) void queries.invalidateQueries();
  }, [staleSince]);
  const followDecisions = useCallback((wanted: DecisionFilter | null) => {
    setNews(NOTHING);
    setFilter(wanted);
  }, []);
  const live = useMemo(
    () => ({ overview, staleSince, heard, ...news, followDecisions }),
    [overview, staleSince, heard, news, followDecisions],
  );
  return <Context value={live}>{children}</Context>;
}

function added(
  before: typeof NOTHING,
  { decisions, gap }: { readonly decisions: readonly DecisionSummary[]; readonly gap: boolean },
): typeof NOTHING {
  const known = new Set(before.decisions.map(({ decisionId }) => decisionId));
  const fresh = decisions.filter(({ decisionId }) => !known.has(decisionId)).reverse();
  return { decisions: [...fresh, ...before.decisions].slice(0, MOST_SHOWN), gap: before.gap || gap };
}
