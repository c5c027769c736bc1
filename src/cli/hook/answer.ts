import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import type { DataCrawlOptions, JsonObject, Verdict } from "@datacrawl/client";
import type { OpenGuard } from "@datacrawl/client/internal/call/open";
import { verdictOf } from "@datacrawl/client/internal/verdict";
import { systemClock } from "../../core/clock.ts";
import { Deadline } from "../../core/deadline.ts";
import { isAllow } from "../../core/decision.ts";
import { messageOf, UsageError } from "../../core/fault.ts";
import { closeInTime, ENDING_MS, hasProof, openOwnGuard, readKey } from "../agents/own-guard.ts";
import { ExitCode, type Io } from "../io.ts";
import { printable, printableLines } from "../output.ts";
import { parseEvent } from "./event.ts";
import { type Host, HookEventError, type ToolCall } from "./host.ts";

export interface HookFlags {
  /** Milliseconds from the start of the process until the call is judged. */
  readonly timeout: number;
  /** Milliseconds more, if people must be asked. */
  readonly reviewTimeout: number;
  readonly url?: string;
  readonly keyFile?: string;
  readonly grantPermission?: true;
}

/** More than the largest payload, written with escapes, and what a host adds to it. */
const MAX_EVENT_BYTES = 2 * 1024 * 1024;

interface Answer {
  /** Null for an allow. */
  readonly denied: string | null;
  readonly printed: JsonObject | null;
}

/** Answers the event on standard input for `host`. Whatever goes wrong is a deny; the process then ends with the status that blocks. */
export async function answerHook(io: Io, host: Host, flags: HookFlags): Promise<void> {
  const guards: OpenGuard[] = [];
  const { denied, printed } = await judge(io, host, flags, guards);
  io.exit(denied === null ? ExitCode.ok : ExitCode.deny);
  // What a terminal would obey is escaped, which to JSON is the same text.
  if (printed !== null) io.out(`${printableLines(JSON.stringify(printed))}\n`);
  if (denied !== null) io.err(`${denied}\n`);
  await Promise.all(guards.map(closeInTime));
}

/** Never rejects. */
async function judge(io: Io, host: Host, flags: HookFlags, guards: OpenGuard[]): Promise<Answer> {
  const deny = (why: string): Answer => {
    const reason = `DataCrawl: ${printable(why)}`;
    return { denied: reason, printed: host.deny(reason) };
  };
  try {
    using deadline = new Deadline(systemClock, io.startedAt + flags.timeout - ENDING_MS);
    const read = await deadline.race(io.readInput(MAX_EVENT_BYTES));
    if (read.kind !== "done") return deny("denied: the host's JSON did not end in time.");
    const call = host.read(parseEvent(read.value));
    const guard = openOwnGuard(io, optionsOf(io, flags));
    guards.push(guard);
    const verdict = await ask(guard, host, call, deadline.at, flags);
    if (!isAllow(verdict.decision)) return deny(reasonOf(call, verdict));
    return { denied: null, printed: host.allow(call, flags.grantPermission === true) };
  } catch (error) {
    const problems = error instanceof UsageError ? error.problems : [messageOf(error)];
    return deny(`denied: ${error instanceof HookEventError ? error.message : problems.join("; ")}`);
  }
}

/** @throws UsageError */
function optionsOf(io: Io, { url, keyFile }: HookFlags): DataCrawlOptions {
  const path = keyFile === undefined ? null : resolve(io.cwd, keyFile);
  if (path === null && !hasProof(io))
    throw new UsageError(["no credential: give --key-file, or set DATACRAWL_API_KEY or one of the others in --help"]);
  return {
    ...(url !== undefined && { url }),
    ...(path !== null && { apiKey: readKey(path, `no credential: ${path} cannot be read`) }),
  };
}

async function ask(
  guard: OpenGuard,
  { name }: Host,
  { tool, payload, sessionId, callId }: ToolCall,
  deadlineAt: number,
  { reviewTimeout }: HookFlags,
): Promise<Verdict> {
  // A call without a name of its own is a decision of its own: no earlier answer is replayed for it.
  const parts = [name, sessionId, callId ?? randomUUID()];
  const idempotencyKey = parts.map(encodeURIComponent).join(":");
  const verdict = await guard.authorize({ tool, payload, idempotencyKey, sessionId }, { deadlineAt });
  if (verdict.decision !== "needs_review" || reviewTimeout === 0) return verdictOf(verdict);
  return verdictOf(await guard.waitForReview(verdict.decisionId, { deadlineAt: deadlineAt + reviewTimeout }));
}

/** For the model, which should do something else, and for people, who can look the decision up. */
function reasonOf({ tool }: ToolCall, { decision, reason, message, decisionId }: Verdict): string {
  const waits = decision === "needs_review" ? "needs a review, which nobody has given in time" : "is denied";
  return `${tool} ${waits}: ${reason}: ${message} (decision ${decisionId})`;
}
