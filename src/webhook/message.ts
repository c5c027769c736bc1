import type { JsonObject } from "../core/json.ts";
import { isoMicros, type Micros } from "../core/clock.ts";

/** The part of a row of the trail that a message is about. */
export type Source =
  | {
      readonly kind: "event";
      readonly actor: string;
      readonly subject: string | null;
      readonly decisionId: string | null;
      readonly recordedAt: Micros;
      /** Canonical JSON. */
      readonly detail: string;
    }
  | {
      readonly kind: "decision";
      readonly decisionId: string;
      readonly linkedDecisionId: string | null;
      readonly reviewId: string;
      readonly agentId: string;
      readonly tool: string;
      readonly decision: string;
      readonly reason: string;
      readonly message: string;
      readonly ruleId: string | null;
      readonly policyVersion: string | null;
      readonly recordedAt: Micros;
      /** Until when the review waits, or the approval holds; null for what does not change any more. */
      readonly expiresAt: Micros | null;
      /** The payload as it is stored, so redacted: canonical JSON, or null if it was erased. */
      readonly payload: string | null;
    };

/** No message is to be longer than some chat or ticket system takes: texts are cut at so many bytes of UTF-8. */
const MAX_EXCERPT_BYTES = 8 * 1024;
const MAX_MESSAGE_BYTES = 2 * 1024;

/**
 * What is posted: the Standard Webhooks specification's `type`, `timestamp` and `data`. At most some 40 KiB.
 *
 * @param publicUrl where operators find the dashboard; null if nobody said
 */
export function bodyOf(type: string, source: Source, publicUrl: string | null): string {
  const data = source.kind === "event" ? eventData(source) : decisionData(source);
  const link = publicUrl === null ? {} : { link: `${publicUrl.replace(/\/+$/, "")}${pageOf(type, source)}` };
  return JSON.stringify({ type, timestamp: isoMicros(source.recordedAt), data: { ...data, ...link } });
}

function eventData({ actor, subject, decisionId, detail }: Extract<Source, { kind: "event" }>): JsonObject {
  const facts = JSON.parse(detail) as JsonObject;
  const expiresAt = facts["expiresAtUs"];
  return {
    subject,
    actor,
    decisionId,
    ...(typeof expiresAt === "number" ? { expiresAt: isoMicros(expiresAt) } : {}),
    // A part of JSON is no JSON: what is too long is left out, and can be looked up.
    detail: Buffer.byteLength(detail) <= MAX_EXCERPT_BYTES ? facts : null,
  };
}

function decisionData(source: Extract<Source, { kind: "decision" }>): JsonObject {
  const { decisionId, linkedDecisionId, reviewId, agentId, tool, decision, reason, ruleId, policyVersion } = source;
  const excerpt = source.payload === null ? null : cut(source.payload, MAX_EXCERPT_BYTES);
  return {
    decisionId,
    linkedDecisionId,
    reviewId,
    agentId,
    tool,
    decision,
    reason,
    ruleId,
    policyVersion,
    expiresAt: source.expiresAt === null ? null : isoMicros(source.expiresAt),
    message: cut(source.message, MAX_MESSAGE_BYTES),
    payloadExcerpt: excerpt,
    payloadTruncated: excerpt !== source.payload,
  };
}

/** The dashboard's page about it. */
function pageOf(type: string, source: Source): string {
  if (source.kind === "decision") return `/reviews/${source.reviewId}`;
  if (type.startsWith("execution.")) return `/decisions/${source.decisionId}`;
  if (type.startsWith("bypass.")) return "/bypass";
  if (type.startsWith("circuit.")) return "/circuits";
  return type.startsWith("agent.") ? "/agents" : "/audit";
}

/** The longest beginning of `text` that has at most `bytes` bytes and no half characters. */
function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const whole = Buffer.from(text);
  let end = bytes;
  // 10xxxxxx continues a character.
  while (((whole[end] as number) & 0xc0) === 0x80) end--;
  return whole.toString("utf8", 0, end);
}
