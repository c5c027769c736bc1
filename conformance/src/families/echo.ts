/** Right answers to other questions. An answer that does not name the question is not one. */
import { allowing, type AnswerFields, denying } from "../answer.ts";
import { family, fields, MALFORMED } from "../case.ts";
import { utf8 } from "../protobuf.ts";
import type { Question } from "../question.ts";

const { cases, stub, guard } = family("echo");
export const echoCases = cases;

const changed = (change: (q: Question) => Partial<AnswerFields>) => fields((q) => ({ ...allowing(q), ...change(q) }));

/** Ways in which a text can be nearly right. */
const TEXTS: Record<string, { says: string; spoil: (text: string) => string }> = {
  absent: { says: "is absent", spoil: () => "" },
  other: { says: "is another", spoil: () => "conformance.other" },
  "other-case": { says: "has the other case", spoil: otherCase },
  "one-short": { says: "lacks its last character", spoil: (text) => text.slice(0, -1) },
  "one-long": { says: "has one character more", spoil: (text) => `${text}x` },
  "first-gone": { says: "lacks its first character", spoil: (text) => text.slice(1) },
  "space-before": { says: "has a space before it", spoil: (text) => ` ${text}` },
  "space-after": { says: "has a space after it", spoil: (text) => `${text} ` },
  "newline-after": { says: "has a newline after it", spoil: (text) => `${text}\n` },
  "nul-after": { says: "has a NUL after it", spoil: (text) => `${text}\0` },
  "zero-width-after": { says: "has a zero-width space after it", spoil: (text) => `${text}\u200b` },
  "bom-before": { says: "has a byte order mark before it", spoil: (text) => `\ufeff${text}` },
  homoglyph: { says: "begins with a letter that looks the same", spoil: (text) => `\u0441${text.slice(1)}` },
  wide: { says: "begins with a full-width letter (NFKC makes them equal)", spoil: (text) => `\uff43${text.slice(1)}` },
  wildcard: { says: "is a wildcard", spoil: () => "*" },
  twice: { says: "comes twice in one string", spoil: (text) => text + text },
  "with-another": { says: "is one of a list", spoil: (text) => `${text},other` },
};
for (const [name, { says, spoil }] of Object.entries(TEXTS)) {
  guard(
    `agent-${name}`,
    `The echoed agent ${says}`,
    changed((q) => ({ agentId: spoil(q.agentId) })),
    MALFORMED,
  );
  guard(
    `tool-${name}`,
    `The echoed tool ${says}`,
    changed((q) => ({ tool: spoil(q.tool) })),
    MALFORMED,
  );
  guard(
    `key-${name}`,
    `The echoed key ${says}`,
    changed((q) => ({ idempotencyKey: spoil(q.idempotencyKey) })),
    MALFORMED,
  );
}

/** Letters of the other case; an x where there is no letter to change. */
function otherCase(text: string): string {
  const swapped = text.replace(/[a-z]/gi, (one) => (one === one.toLowerCase() ? one.toUpperCase() : one.toLowerCase()));
  return swapped === text ? `${text}x` : swapped;
}

const nonces: Record<string, { says: string; spoil: (nonce: Uint8Array) => Uint8Array }> = {
  absent: { says: "is absent", spoil: () => new Uint8Array() },
  zeros: { says: "is 16 zero bytes", spoil: () => new Uint8Array(16) },
  "first-byte": {
    says: "differs in its first byte",
    spoil: (nonce) => nonce.map((byte, at) => (at === 0 ? byte ^ 1 : byte)),
  },
  "last-byte": {
    says: "differs in its last byte",
    spoil: (nonce) => nonce.map((byte, at) => (at === nonce.length - 1 ? byte ^ 1 : byte)),
  },
  inverted: { says: "has every bit the other way round", spoil: (nonce) => nonce.map((byte) => byte ^ 0xff) },
  "one-short": { says: "lacks its last byte", spoil: (nonce) => nonce.subarray(0, -1) },
  "one-long": { says: "has one byte more", spoil: (nonce) => Uint8Array.from([...nonce, 0]) },
  half: { says: "is the first half", spoil: (nonce) => nonce.subarray(0, nonce.length / 2) },
  twice: { says: "comes twice", spoil: (nonce) => Uint8Array.from([...nonce, ...nonce]) },
  hex: { says: "is in hexadecimal", spoil: (nonce) => utf8(Buffer.from(nonce).toString("hex")) },
  base64: { says: "is in base64 once more", spoil: (nonce) => utf8(Buffer.from(nonce).toString("base64")) },
};
for (const [name, { says, spoil }] of Object.entries(nonces)) {
  // A client that sent no nonce gets one all the same, so that this is never the right answer.
  const answer = changed((q) => ({ nonce: q.nonce.length === 0 ? new Uint8Array(16).fill(1) : spoil(q.nonce) }));
  guard(`nonce-${name}`, `The echoed nonce ${says}`, answer, MALFORMED);
}

guard(
  "agent-and-tool-swapped",
  "Agent and tool have changed places",
  changed((q) => ({ agentId: q.tool, tool: q.agentId })),
  MALFORMED,
);
guard(
  "tool-and-key-swapped",
  "Tool and key have changed places",
  changed((q) => ({ tool: q.idempotencyKey, idempotencyKey: q.tool })),
  MALFORMED,
);
guard(
  "all-absent",
  "No echo at all",
  changed(() => ({ agentId: "", tool: "", idempotencyKey: "", nonce: new Uint8Array() })),
  MALFORMED,
);

/** The question that was asked before this one, or one that somebody might have asked. */
function earlier(q: Question): Question {
  const somebody = {
    agentId: "billing-1",
    tool: "gmail.read",
    idempotencyKey: "read-1",
    nonce: new Uint8Array(16).fill(9),
  };
  return q.earlier ?? { ...q, ...somebody };
}
const OLD_NONCE = Uint8Array.from({ length: 16 }, (_, n) => n + 1);
guard(
  "replay-earlier-answer",
  "The answer to the question before this one",
  fields((q) => allowing(earlier(q))),
  MALFORMED,
);
guard(
  "replay-earlier-answer-marked",
  "The same, marked as replayed",
  fields((q) => ({ ...allowing(earlier(q)), replayed: true })),
  MALFORMED,
);
guard(
  "replay-older-attempt",
  "The answer to an older attempt at this very question",
  changed(() => ({ nonce: OLD_NONCE })),
  MALFORMED,
);
guard(
  "replay-older-attempt-marked",
  "The same, marked as replayed",
  changed(() => ({ nonce: OLD_NONCE, replayed: true })),
  MALFORMED,
);
guard(
  "replay-earlier-nonce",
  "This question, with the nonce of the one before it",
  changed((q) => ({ nonce: earlier(q).nonce })),
  MALFORMED,
);
guard(
  "replay-other-agents",
  "Another agent's answer, with this one's nonce",
  changed(() => ({ agentId: "billing-1" })),
  MALFORMED,
);
stub(
  "deny-to-another-question",
  "A deny, to the question before this one",
  fields((q) => denying(earlier(q))),
  MALFORMED,
);
stub(
  "deny-to-an-older-attempt",
  "A deny, to an older attempt",
  fields((q) => ({ ...denying(q), nonce: OLD_NONCE })),
  MALFORMED,
);
