/** Puts cases to a client, one after the other, and compares what it makes of them with what is right. */
import type { Clock } from "@datacrawl/core/clock";
import type { Decision, Reason } from "@datacrawl/core/decision";
import type { Adapter, AdapterAnswer, AdapterQuestion } from "./adapter.ts";
import { type Case, toolOf, type Transport } from "./case.ts";
import { decisionOf } from "./catalogue.ts";
import type { Directory } from "./serve.ts";
import { messageOf } from "@datacrawl/core/fault";

/** The agent that the questions are about, and its credential. */
export const AGENT_ID = "conformance";
export const API_KEY = `dc_agent_${AGENT_ID}_c0dec0dec0de_${"c0de".repeat(16)}`;

/** What to run, against which server. */
export interface RunOptions {
  /** The client under test. */
  readonly adapter: Adapter;
  /** How the client asks. */
  readonly transport: Transport;
  /** Cases of this transport, in the order to run them. */
  readonly cases: readonly Case[];
  /** The server's addresses. */
  readonly directory: Directory;
  /** The path of a file with the directory's authority. */
  readonly caFile: string;
  /** Seven letters or digits that no other run uses. */
  readonly runId: string;
  /** The deadline of each call, in milliseconds. */
  readonly deadlineMs: number;
  /** How much later than its deadline a call may end, in milliseconds. */
  readonly slackMs: number;
  /** Measures the calls. */
  readonly clock: Clock;
}

/** The result of one case. */
export interface Result {
  /** The case's name. */
  readonly case: string;
  /** The case's family. */
  readonly family: string;
  /** The case's level. */
  readonly level: string;
  /** The right verdict. */
  readonly expected: Decision;
  /** The client's decision, not verified; null if there was none. */
  readonly decision: unknown;
  /** The client's reason, not verified; null if there was none. */
  readonly reason: unknown;
  /** How long the call took, in milliseconds. */
  readonly elapsedMs: number;
  /** Why it failed, or null. */
  readonly problem: string | null;
}

/** How long after its deadline a client is given up, in milliseconds. */
const PATIENCE_MS = 5000;

/**
 * Runs the cases one after the other. Never rejects for a failure of the client, which is a result.
 *
 * @example
 * const report = summarize(await run({ adapter, cases: CASES, transport: "grpc", directory, caFile, runId, deadlineMs, slackMs, clock }));
 */
export async function run(options: RunOptions): Promise<Result[]> {
  const { adapter, cases, clock } = options;
  const results: Result[] = [];
  for (const [number, one] of cases.entries()) {
    const startedAt = clock.monotonic();
    let heard: AdapterAnswer | { readonly problem: string };
    try {
      heard = await adapter.ask(questionFor(one, number, options), options.deadlineMs + PATIENCE_MS);
    } catch (error) {
      heard = { problem: messageOf(error) };
    }
    results.push(judge(one, heard, clock.monotonic() - startedAt, options));
  }
  const death = await adapter.finish();
  const last = results.at(-1);
  // A client that dies after its last answer has failed too.
  if (death !== null && last?.problem === null) results[results.length - 1] = { ...last, problem: death };
  return results;
}

function questionFor(one: Case, number: number, options: RunOptions): AdapterQuestion {
  const { transport, directory, caFile, runId, deadlineMs } = options;
  const urls = directory.endpoints[one.endpoint];
  if (urls === undefined) throw new Error(`the server has no address called ${one.endpoint}`);
  return {
    case: one.name,
    method: one.method,
    decisionId: one.method === "BeginExecution" ? decisionOf(one) : "",
    tool: toolOf(one.name),
    payload: { case: one.name },
    // 16 characters, for which the family bit-flip has its cases.
    idempotencyKey: `k${runId}-${String(number).padStart(7, "0")}`,
    url: transport === "grpc" ? urls.grpc : urls.connect,
    transport,
    agentId: AGENT_ID,
    apiKey: API_KEY,
    caFile,
    deadlineMs,
  };
}

function judge(
  one: Case,
  heard: AdapterAnswer | { readonly problem: string },
  measuredMs: number,
  options: RunOptions,
): Result {
  const { name, family, level, verdict: expected } = one;
  const base = { case: name, family, level, expected };
  if ("problem" in heard)
    return { ...base, decision: null, reason: null, elapsedMs: measuredMs, problem: heard.problem };
  const { decision, reason } = heard;
  const elapsedMs = typeof heard.elapsedMs === "number" ? heard.elapsedMs : measuredMs;
  return { ...base, decision, reason, elapsedMs, problem: problemOf(one, heard, elapsedMs, options) };
}

function problemOf(
  one: Case,
  { decision, reason }: AdapterAnswer,
  elapsedMs: number,
  options: RunOptions,
): string | null {
  if (decision !== one.verdict) return `it decided ${JSON.stringify(decision)}; the right verdict is ${one.verdict}`;
  const late = elapsedMs - options.deadlineMs;
  if (late > options.slackMs) return `it answered ${Math.round(late)} ms after its deadline`;
  // A bare stub gives no reasons.
  if (reason === undefined || reason === null) return null;
  if (!permitted(one, reason))
    return `its reason was ${JSON.stringify(reason)}; it must be ${one.reasons.join(" or ")}`;
  return null;
}

function permitted(one: Case, reason: unknown): boolean {
  // The cases test how answers are read. A circuit that has opened reads none, and passes them all for nothing.
  if (CIRCUIT.some((circuit) => circuit === reason)) return false;
  return one.reasons.length === 0 || one.reasons.some((right) => right === reason);
}
const CIRCUIT: readonly Reason[] = ["CIRCUIT_OPEN", "CIRCUIT_BYPASS"];
