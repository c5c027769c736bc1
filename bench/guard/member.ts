/**
 * One process of a fleet whose service has died, started with `fork`: it is sent {@link ToMember}s and sends {@link
 * FromMember}s. Times are of the machine's monotonic clock, which all processes share.
 */
import { DataCrawl } from "@datacrawl/client";
import { QUESTION } from "../peers/question.ts";
import { apiKeyOf, NO_PROBE_MS } from "./parts.ts";

export type ToMember =
  | { readonly join: string; readonly deadUrl: string; readonly redisUrl: string }
  /** Calls until this process' own failures have opened the circuit. */
  | { readonly fail: string };

/** The circuit has opened in this process: by its own count, or by the others' word. */
export interface FromMember {
  readonly agentId: string;
  readonly openedAtNs: string;
  readonly cause: "local" | "shared" | "forced" | null;
}

const members = new Map<string, DataCrawl>();

function join(agentId: string, url: string, redisUrl: string): void {
  const dc = new DataCrawl({ url, apiKey: apiKeyOf(agentId), redisUrl, circuit: { probeAfterMs: NO_PROBE_MS } });
  dc.on("circuit", ({ to, cause }) => {
    const opened: FromMember = { agentId, openedAtNs: String(process.hrtime.bigint()), cause };
    if (to === "open") process.send?.(opened);
  });
  members.set(agentId, dc);
  // It must be connected to Redis before it hears of another process's circuit; the library opens nothing by itself.
  void dc.ready();
}

async function fail(agentId: string): Promise<void> {
  const dc = members.get(agentId)!;
  for (let n = 0; dc.circuit.consecutiveFailures < 5 && n < 20; n++) {
    await dc.authorize({ ...QUESTION, idempotencyKey: `key-${n}` });
  }
}

process.on("message", (message: ToMember) => {
  if ("join" in message) join(message.join, message.deadUrl, message.redisUrl);
  else void fail(message.fail);
});
process.on("disconnect", () => process.exit(0));
