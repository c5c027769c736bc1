import type { MessageInitShape } from "@bufbuild/protobuf";
import type { OverviewSchema } from "@datacrawl/proto/datacrawl/authz/v1/overview_pb";
import type { Overview } from "../../admin/overview.ts";
import { watch, type WatchPorts } from "../../admin/watch.ts";
import { Fault } from "../../core/fault.ts";
import { timestampOf } from "../codec/timestamp.ts";
import { filterOf, summaryMessage } from "./decision-messages.ts";
import type { AdminMethods } from "./methods.ts";

export function overviewMethods(ports: WatchPorts): Pick<AdminMethods, "getOverview" | "watchAdmin"> {
  return {
    async getOverview() {
      const overview = await ports.overviews.read().catch((cause: unknown) => {
        throw new Fault("STORE_UNAVAILABLE", "The figures could not be read.", { cause, retryAfterMs: 1000 });
      });
      return { overview: overviewMessage(overview) };
    },
    async *watchAdmin({ overview, decisions, resumeToken }, { context }) {
      const filter = decisions === undefined ? null : filterOf(decisions);
      for await (const message of watch(ports, { overview, filter, resumeToken }, context.signal)) {
        yield {
          at: timestampOf(message.at),
          decisions: message.decisions.map(summaryMessage),
          gap: message.gap,
          resumeToken: message.resumeToken,
          ...(message.overview === null ? {} : { overview: overviewMessage(message.overview) }),
        };
      }
    },
  };
}

function overviewMessage(overview: Overview): MessageInitShape<typeof OverviewSchema> {
  const { at, minutes, latency, circuits, lastVerification, warnings, ...same } = overview;
  return {
    ...same,
    at: timestampOf(at),
    minutes: minutes.map(({ minute, counts }) => ({
      minute: timestampOf(minute),
      ...(counts === null ? {} : { counts: bigints(counts) }),
    })),
    countsIncomplete: minutes.some(({ counts }) => counts === null),
    ...(latency === null ? {} : { latency }),
    circuits,
    warnings: [...warnings],
    ...(lastVerification === null
      ? {}
      : { lastVerification: { ...lastVerification, at: timestampOf(lastVerification.at) } }),
  };
}

function bigints<Counts extends object>(counts: Counts): { [Name in keyof Counts]: bigint } {
  const entries = Object.entries(counts).map(([name, count]) => [name, BigInt(count as number)]);
  return Object.fromEntries(entries) as { [Name in keyof Counts]: bigint };
}
