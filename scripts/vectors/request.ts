import { Fault } from "@datacrawl/core/fault";
import { LIMITS } from "@datacrawl/core/request";
import { readQuestion } from "../../clients/typescript/src/call/question.ts";

const FIELDS = ["tool", "idempotency_key", "principal", "session_id"] as const;
type Field = (typeof FIELDS)[number];

const TEXTS: readonly (readonly [name: string, unit: string, times: number])[] = [
  ["empty", "", 1],
  ["one letter", "a", 1],
  ["the longest", "a", LIMITS.nameBytes],
  ["one byte too long", "a", LIMITS.nameBytes + 1],
  ["the longest in two bytes each", "\u00e9", LIMITS.nameBytes / 2],
  ["one letter of two bytes too long", "\u00e9", LIMITS.nameBytes / 2 + 1],
  ["the longest in four bytes each", "\ud83d\ude00", LIMITS.nameBytes / 4],
  ["one letter of four bytes too long", "\ud83d\ude00", LIMITS.nameBytes / 4 + 1],
  ["NUL", "\0", 1],
  ["a tab", "a\tb", 1],
  ["a line feed at the end", "a\n", 1],
  ["delete", "a\u007f", 1],
  ["a C1 control character", "a\u0085", 1],
  ["a line separator", "a\u2028", 1],
  ["white space", " ", 1],
  ["a lone high surrogate", "a\ud800", 1],
  ["a lone low surrogate", "\udc00a", 1],
];

export function requestVectors() {
  return {
    texts: FIELDS.flatMap((field) =>
      TEXTS.map(([name, unit, times]) => ({
        field,
        name,
        unit,
        times,
        accepted: isAccepted(field, unit.repeat(times)),
      })),
    ),
  };
}

function isAccepted(field: Field, text: string): boolean {
  const [tool, key] = [field === "tool" ? text : "tool", field === "idempotency_key" ? text : undefined];
  const [principal, sessionId] = [field === "principal" ? text : undefined, field === "session_id" ? text : undefined];
  try {
    readQuestion({ tool, idempotencyKey: key, principal, sessionId }, "agent");
    return true;
  } catch (error) {
    if (error instanceof Fault) return false;
    throw error;
  }
}
