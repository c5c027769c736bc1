import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { AuthorizeRequestSchema } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { Question } from "@datacrawl/core/request";
import type { Clock } from "@datacrawl/core/clock";
import type { RandomPool } from "@datacrawl/core/ids";
import { fraction } from "./chance.ts";
import type { Unframed } from "../transport/framing.ts";
import { interpret } from "./interpret.ts";
import type { Limit } from "./limit.ts";
import type { Outcome } from "./outcome.ts";
import type { RawReply, Transport } from "../transport/transport.ts";

/** How the service is asked. */
export interface Road {
  readonly transport: Transport;
  readonly unframe: (reply: RawReply) => Unframed;
}

export interface AskContext {
  readonly clock: Clock;
  readonly random: RandomPool;
  readonly traceparent: string | null;
}

/** What a call came to, whatever its attempts. */
export interface Asked {
  readonly attempts: number;
  /** From the first attempt on. */
  readonly tookMs: number;
  /** What the attempts before the last came to. */
  readonly earlier: readonly Outcome[];
  readonly final:
    | Outcome
    | { readonly kind: "cancelled" }
    /**
     * The deadline has passed. `busy`: this process was too busy to look, so that the wait says nothing of the service. `heard`:
     * an answer that came too late to be acted on.
     */
    | { readonly kind: "deadline"; readonly busy: boolean; readonly heard: Outcome | null };
}

export const MAX_ATTEMPTS = 3;
/** An answer's strings are bounded by the request's 256 bytes each, its message is a sentence. */
const MAX_ANSWER_BYTES = 64 * 1024;
const FIRST_PAUSE_MS = 100;
/** A process that looks at its deadline as much too late was blocked. */
const BUSY_MS = 100;

/**
 * Asks the service, and asks again what it could not take, with the same key and a new nonce. Ends with `limit`, a moment for
 * the event loop aside.
 */
export async function ask(road: Road, question: Question, limit: Limit, context: AskContext): Promise<Asked> {
  const { clock, random } = context;
  const startedAt = clock.monotonic();
  const earlier: Outcome[] = [];
  for (let attempts = 1; ; attempts++) {
    const final = await attempt(road, question, limit, context);
    const done = (): Asked => ({ attempts, tookMs: clock.monotonic() - startedAt, earlier, final });
    if (final.kind !== "unavailable" || attempts === MAX_ATTEMPTS) return done();
    const pause = pauseBefore(attempts, random);
    if (pause >= limit.leftMs) return done();
    earlier.push(final);
    const waited = await limit.within(sleep(pause));
    if ("stop" in waited && waited.stop === "cancelled") return { ...done(), final: { kind: "cancelled" } };
  }
}

/** Grows threefold, and half of it is chance: processes that failed together do not come back together. */
function pauseBefore(attempts: number, random: RandomPool): number {
  const longest = FIRST_PAUSE_MS * 3 ** (attempts - 1);
  return longest * (0.5 + fraction(random) / 2);
}

async function attempt(
  road: Road,
  question: Question,
  limit: Limit,
  { random, traceparent }: AskContext,
): Promise<Asked["final"]> {
  const { agentId, tool, payload, idempotencyKey } = question;
  const nonce = random.take(16);
  const message = toBinary(
    AuthorizeRequestSchema,
    create(AuthorizeRequestSchema, { tool, payload, idempotencyKey, agentId, nonce }),
  );
  const timeoutMs = Math.max(1, Math.floor(limit.leftMs));
  const exchange = road.transport.start({
    method: "Authorize",
    message,
    timeoutMs,
    maxReplyBytes: MAX_ANSWER_BYTES,
    awaited: true,
    traceparent,
  });
  const reply = await limit.within(exchange.reply);
  if ("stop" in reply) {
    exchange.abandon(reply.stop === "deadline" ? "silent" : "cancelled");
    if (reply.stop === "cancelled") return { kind: "cancelled" };
    return tooLate(limit, null);
  }
  const outcome = interpret(road.unframe(reply.value), { agentId, tool, idempotencyKey, nonce });
  // It came in time or it did not come: the caller may have given up already.
  return limit.passed ? tooLate(limit, outcome) : outcome;
}

function tooLate(limit: Limit, heard: Outcome | null): Asked["final"] {
  return { kind: "deadline", busy: limit.leftMs < -BUSY_MS, heard };
}
