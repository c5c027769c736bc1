import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { WatchDecisionRequestSchema } from "@datacrawl/proto/datacrawl/authz/v1/watch_pb";
import type { Clock } from "@datacrawl/core/clock";
import type { Reason } from "@datacrawl/core/decision";
import type { RandomPool } from "@datacrawl/core/ids";
import { fraction } from "./chance.ts";
import type { UnframedStream } from "../transport/framing.ts";
import { type GuardCall, NOT_A_REQUEST } from "./guard.ts";
import { type Asked, interpret } from "./interpret.ts";
import { Limit } from "./limit.ts";
import { malformed, type Outcome, type Refusal, type ServiceAnswer } from "./outcome.ts";
import type { RawReply, Transport } from "../transport/transport.ts";
import { guardVerdict, type GuardVerdict, serviceVerdict } from "./verdict.ts";

/** How the service is watched. */
export interface WatchRoad {
  readonly transport: Transport;
  readonly unframeStream: (reply: RawReply) => UnframedStream;
}

export interface WaitParts {
  readonly road: WatchRoad;
  readonly agentId: string;
  readonly clock: Clock;
  readonly random: RandomPool;
}

/** What became of a watched decision. Frozen. Only `decision === "allow"` means yes. */
export interface ReviewVerdict extends GuardVerdict {
  /** The watched decision's; empty if the service has not told. */
  readonly tool: string;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
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
export async function waitForReview(parts: WaitParts, decisionId: unknown, call: GuardCall): Promise<ReviewVerdict> {
  if (typeof decisionId !== "string" || !UUID.test(decisionId))
    return deny(parts, "REQUEST_REFUSED", "The decision id is not a UUID.", "", NOT_A_REQUEST);
  try {
    using limit = new Limit(parts.clock, call.deadlineAt, call.signal);
    return await new Wait(parts, decisionId, limit).run();
  } catch {
    return deny(parts, "REQUEST_REFUSED", "The decision could not be watched.", decisionId, NOT_A_REQUEST);
  }
}

type Stopped = { readonly kind: "stopped"; readonly why: "deadline" | "cancelled" };

class Wait {
  readonly #parts: WaitParts;
  readonly #decisionId: string;
  readonly #limit: Limit;
  #pending: ServiceAnswer | null = null;
  #last: Outcome | null = null;

  constructor(parts: WaitParts, decisionId: string, limit: Limit) {
    this.#parts = parts;
    this.#decisionId = decisionId;
    this.#limit = limit;
  }

  async run(): Promise<ReviewVerdict> {
    const { clock } = this.#parts;
    for (let pause = FIRST_PAUSE_MS; ; ) {
      const startedAt = clock.monotonic();
      const outcome = await this.#watch();
      if (outcome.kind === "stopped") return this.#unresolved(outcome);
      this.#last = outcome;
      if (outcome.kind === "answered") {
        if (outcome.answer.decision !== "needs_review") return verdictOf(outcome.answer, clock);
        this.#pending = outcome.answer;
        pause = FIRST_PAUSE_MS;
      }
      if (outcome.kind === "refused" && outcome.final)
        return this.#deny("REQUEST_REFUSED", outcome.problem, outcome.refusal);
      const stopped = await this.#pause(pause - (clock.monotonic() - startedAt));
      if (stopped !== null) return this.#unresolved(stopped);
      if (outcome.kind !== "answered") pause = Math.min(pause * 2, MAX_PAUSE_MS);
    }
  }

  /** One stream, to its end. */
  async #watch(): Promise<Outcome | Stopped> {
    const { road, agentId, random } = this.#parts;
    const nonce = random.take(16);
    const message = toBinary(
      WatchDecisionRequestSchema,
      create(WatchDecisionRequestSchema, { decisionId: this.#decisionId, nonce }),
    );
    const exchange = road.transport.start({
      method: "WatchDecision",
      message,
      timeoutMs: Math.max(1, Math.floor(Math.min(this.#limit.leftMs, STREAM_MS))),
      maxReplyBytes: MAX_STREAM_BYTES,
      awaited: true,
      streams: true,
    });
    const reply = await this.#within(exchange.reply);
    if ("stop" in reply) {
      exchange.abandon(reply.stop === "cancelled" ? "cancelled" : "silent");
      if (reply.stop === "stream") return { kind: "late", problem: "the stream did not end in time" };
      return { kind: "stopped", why: reply.stop };
    }
    const outcome = interpretStream(road.unframeStream(reply.value), { agentId, decisionId: this.#decisionId, nonce });
    // It came in time or it did not come.
    return this.#limit.passed ? { kind: "stopped", why: "deadline" } : outcome;
  }

  async #within<T>(work: Promise<T>) {
    const overdue = new AbortController();
    const stream = sleep(STREAM_MS + MAX_PAUSE_MS, { stop: "stream" as const }, { signal: overdue.signal, ref: false });
    stream.catch(() => {});
    try {
      return await Promise.race([this.#limit.within(work), stream]);
    } finally {
      overdue.abort();
    }
  }

  /** Half of it is chance: those who lost a service together do not come back together. */
  async #pause(milliseconds: number): Promise<Stopped | null> {
    const pause = Math.max(FIRST_PAUSE_MS, milliseconds) * (0.5 + fraction(this.#parts.random) / 2);
    // The limit keeps the process alive, and ends this too.
    const waited = await this.#limit.within(sleep(pause, undefined, { ref: false }));
    if ("stop" in waited) return { kind: "stopped", why: waited.stop };
    return null;
  }

  #unresolved({ why }: Stopped): ReviewVerdict {
    if (this.#pending !== null) return verdictOf(this.#pending, this.#parts.clock);
    if (why === "cancelled") return this.#deny("DEADLINE_EXCEEDED", "the caller cancelled");
    const last = this.#last;
    if (last === null || last.kind === "answered" || last.kind === "late")
      return this.#deny("DEADLINE_EXCEEDED", "there was no answer in time");
    return this.#deny(last.kind === "malformed" ? "MALFORMED_RESPONSE" : "SERVICE_UNAVAILABLE", last.problem);
  }

  #deny(reason: Reason, problem: string, refusal?: Refusal): ReviewVerdict {
    const message = `The review could not be waited for: ${problem}.`;
    return deny(this.#parts, reason, message, this.#decisionId, refusal);
  }
}

/** INVARIANT: every message is a well-formed answer to this watch, and only the last may say anything but that people decide. */
function interpretStream(unframed: UnframedStream, asked: Asked): Outcome {
  if (unframed.kind !== "messages") return unframed;
  let last: Outcome = malformed("the answer has no message");
  for (const unverifiedMessage of unframed.unverifiedMessages) {
    if (last.kind === "answered" && last.answer.decision !== "needs_review")
      return malformed("there is an answer after the last one");
    last = interpret({ kind: "message", unverifiedMessage }, asked);
    if (last.kind !== "answered") return last;
  }
  return last;
}

function verdictOf(answer: ServiceAnswer, clock: Clock): ReviewVerdict {
  return Object.freeze({ ...serviceVerdict(answer, clock), tool: answer.tool });
}

/** Under the watched decision's id: nothing else was decided. It stands in no journal. */
function deny(parts: WaitParts, reason: Reason, message: string, decisionId: string, refusal?: Refusal): ReviewVerdict {
  return Object.freeze({ ...guardVerdict(parts, reason, message, { decisionId, refusal: refusal ?? null }), tool: "" });
}
