import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { WatchDecisionRequestSchema } from "@datacrawl/proto/datacrawl/authz/v1/watch_pb";
import { Deadline, type Stopped } from "@datacrawl/core/deadline";
import type { Reason } from "@datacrawl/core/decision";
import { UUID } from "@datacrawl/core/ids";
import type { AskParts } from "./ask.ts";
import { fraction } from "./chance.ts";
import type { GuardCall } from "./through-circuit.ts";
import { interpret } from "./interpret.ts";
import { NOT_A_REQUEST, type Outcome, type Refusal } from "./outcome.ts";
import { guardVerdict, type GuardVerdict } from "./verdict.ts";

export interface WaitParts extends AskParts {
  readonly agentId: string;
}

/** One stream lasts no longer, so that a connection that has died without a word is found out. */
const STREAM_MS = 60_000;
/** A pending answer, and the one that follows. */
const MAX_STREAM_BYTES = 64 * 1024;
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 5000;

/**
 * Watches a decision until its review is resolved, over as many streams as it takes. Never rejects, and ends with the call's
 * deadline: then with the pending answer, if the service has said so much, and else with a deny.
 */
export async function waitForReview(
  parts: WaitParts,
  decisionId: unknown,
  { deadlineAt, signal }: GuardCall,
): Promise<GuardVerdict> {
  if (typeof decisionId !== "string" || !UUID.test(decisionId))
    return guardVerdict(parts, "REQUEST_REFUSED", "The decision id is not a UUID.", { refusal: NOT_A_REQUEST });
  try {
    using deadline = new Deadline(parts.clock, deadlineAt, { signal });
    return await waitWithin(parts, decisionId, deadline);
  } catch {
    return deny(parts, decisionId, "REQUEST_REFUSED", "the guard failed", NOT_A_REQUEST);
  }
}

async function waitWithin(parts: WaitParts, decisionId: string, deadline: Deadline): Promise<GuardVerdict> {
  const { clock, random } = parts;
  let pending: GuardVerdict | null = null;
  let last: Outcome | null = null;
  for (let pauseMs = FIRST_PAUSE_MS; ; ) {
    const startedAt = clock.monotonic();
    const outcome = await watch(parts, decisionId, deadline);
    if (outcome.kind === "deadline" || outcome.kind === "cancelled")
      return pending ?? unresolved(parts, decisionId, outcome, last);
    if (outcome.kind === "refused" && outcome.final)
      return deny(parts, decisionId, "REQUEST_REFUSED", outcome.problem, outcome.refusal);
    if (outcome.kind === "answered") {
      if (outcome.verdict.decision !== "needs_review") return outcome.verdict;
      pending = outcome.verdict;
      pauseMs = FIRST_PAUSE_MS;
    }
    // Half of it is chance: those who lost a service together do not come back together.
    const ms = Math.max(FIRST_PAUSE_MS, pauseMs - (clock.monotonic() - startedAt)) * (0.5 + fraction(random) / 2);
    // The deadline keeps the process alive, and ends this too.
    const paused = await deadline.race(sleep(ms, undefined, { ref: false }));
    if (paused.kind !== "done") return pending ?? unresolved(parts, decisionId, paused, outcome);
    if (outcome.kind !== "answered") pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
    last = outcome;
  }
}

/** One stream, to its end. */
async function watch(
  { transport, agentId, clock, random }: WaitParts,
  decisionId: string,
  deadline: Deadline,
): Promise<Outcome | Stopped> {
  const nonce = random.take(16);
  const request = create(WatchDecisionRequestSchema, { decisionId, nonce });
  const message = toBinary(WatchDecisionRequestSchema, request);
  const rpc = {
    method: "WatchDecision",
    message,
    maxReplyBytes: MAX_STREAM_BYTES,
    timeoutMs: STREAM_MS,
    streams: true,
  };
  using stream = deadline.within(STREAM_MS + MAX_PAUSE_MS);
  const reply = await transport.call(rpc, stream);
  if (reply.kind === "cancelled") return reply;
  // It came in time or it did not come.
  if (deadline.passed) return { kind: "deadline" };
  if (reply.kind === "deadline") return { kind: "late", problem: "the stream did not end in time" };
  return interpret(reply, { agentId, decisionId, nonce }, clock);
}

/** Nobody has decided, as far as is known. */
function unresolved(parts: WaitParts, decisionId: string, stopped: Stopped, last: Outcome | null): GuardVerdict {
  if (stopped.kind === "cancelled") return deny(parts, decisionId, "DEADLINE_EXCEEDED", "the caller cancelled");
  if (last === null || last.kind === "answered" || last.kind === "late")
    return deny(parts, decisionId, "DEADLINE_EXCEEDED", "there was no answer in time");
  const reason = last.kind === "malformed" ? "MALFORMED_RESPONSE" : "SERVICE_UNAVAILABLE";
  return deny(parts, decisionId, reason, last.problem);
}

/** Under the watched decision's id: nothing else was decided. It stands in no journal. */
function deny(parts: WaitParts, decisionId: string, reason: Reason, problem: string, refusal?: Refusal): GuardVerdict {
  const message = `The review could not be waited for: ${problem}.`;
  return guardVerdict(parts, reason, message, { decisionId, refusal: refusal ?? null });
}
