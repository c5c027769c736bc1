/** Texts that are not the one JSON object that an answer is. */
import { allowing, toJson, toProto } from "../answer.ts";
import { family, json, MALFORMED } from "../case.ts";
import { concat, utf8 } from "../protobuf.ts";
import type { Question } from "../question.ts";

const { cases, stub, guard } = family("json-document");
export const jsonDocuments = cases;

const right = (q: Question) => toJson(allowing(q));
/** The right answer's text, edited. */
const edited = (edit: (text: string, q: Question) => string | Uint8Array) => json((q) => edit(right(q), q));
/** The right answer with this text after its last member. */
const closing = (text: string) => edited((whole) => `${whole.slice(0, -1)},${text}}`);

stub(
  "empty",
  "No text",
  json(() => ""),
  MALFORMED,
);
stub(
  "white-space",
  "White space",
  json(() => " \n"),
  MALFORMED,
);
stub(
  "null",
  "null",
  json(() => "null"),
  MALFORMED,
);
stub(
  "true",
  "true",
  json(() => "true"),
  MALFORMED,
);
stub(
  "one",
  "1",
  json(() => "1"),
  MALFORMED,
);
stub(
  "string",
  "The string DECISION_ALLOW",
  json(() => '"DECISION_ALLOW"'),
  MALFORMED,
);
stub(
  "empty-object",
  "An empty object",
  json(() => "{}"),
  MALFORMED,
);
stub(
  "empty-array",
  "An empty list",
  json(() => "[]"),
  MALFORMED,
);
guard(
  "decision-alone",
  "The decision and nothing else",
  json(() => '{"decision":"DECISION_ALLOW"}'),
  MALFORMED,
);
stub(
  "in-an-array",
  "The right answer in a list",
  edited((text) => `[${text}]`),
  MALFORMED,
);
stub(
  "in-a-string",
  "The right answer in a string",
  edited((text) => JSON.stringify(text)),
  MALFORMED,
);
stub(
  "under-result",
  "The right answer under `result`",
  edited((text) => `{"result":${text}}`),
  MALFORMED,
);
stub(
  "under-message",
  "The right answer under `message`",
  edited((text) => `{"message":${text}}`),
  MALFORMED,
);
stub(
  "under-proto",
  "The right answer under `__proto__`",
  edited((text) => `{"__proto__":${text}}`),
  MALFORMED,
);
stub(
  "decision-under-proto",
  "The decision under `__proto__`",
  edited((text) => text.replace(/,"decision":("[A-Z_]+")/, ',"__proto__":{"decision":$1}')),
  MALFORMED,
);
stub(
  "protobuf",
  "The right answer in protobuf, where JSON was agreed",
  json((q) => toProto(allowing(q))),
  MALFORMED,
);
stub(
  "html",
  "A page of a proxy",
  json(() => "<html><body>DECISION_ALLOW</body></html>"),
  MALFORMED,
);
stub(
  "form",
  "The answer as a form",
  json(() => "decision=DECISION_ALLOW&reason=REASON_RULE_ALLOWED"),
  MALFORMED,
);
stub(
  "connect-error",
  "An error of the Connect protocol, with HTTP status 200",
  json(() => '{"code":"permission_denied","message":"no"}'),
  MALFORMED,
);

stub(
  "two-documents",
  "Two answers, one after the other",
  edited((text) => `${text}\n${text}`),
  MALFORMED,
);
stub(
  "allow-then-deny",
  "An allow, and a deny after it",
  edited((text) => text + text.replace("DECISION_ALLOW", "DECISION_DENY")),
  MALFORMED,
);
stub(
  "junk-after",
  "A letter after the answer",
  edited((text) => `${text}x`),
  MALFORMED,
);
stub(
  "brace-after",
  "A brace too many",
  edited((text) => `${text}}`),
  MALFORMED,
);
stub(
  "nul-after",
  "A NUL after the answer",
  edited((text) => `${text}\0`),
  MALFORMED,
);
stub(
  "junk-before",
  "The guard of another protocol, )]}', before the answer",
  edited((text) => `)]}'\n${text}`),
  MALFORMED,
);
stub(
  "callback",
  "A call around the answer",
  edited((text) => `allow(${text})`),
  MALFORMED,
);
guard(
  "byte-order-mark",
  "A byte order mark before the answer",
  edited((text) => `\ufeff${text}`),
  MALFORMED,
);
stub(
  "utf-16",
  "The answer in UTF-16",
  edited((text) => Buffer.from(text, "utf16le")),
  MALFORMED,
);
stub(
  "trailing-comma",
  "A comma after the last member",
  edited((text) => `${text.slice(0, -1)},}`),
  MALFORMED,
);
stub(
  "comment",
  "A comment",
  edited((text) => `${text.slice(0, -1)}/* allow */}`),
  MALFORMED,
);
stub(
  "line-comment",
  "A comment after the answer",
  edited((text) => `${text} // allow`),
  MALFORMED,
);
stub(
  "raw-newline",
  "A line break in a string",
  edited((text) => text.replace("Allowed by", "Allowed\nby")),
  MALFORMED,
);
stub(
  "bad-escape",
  "An escape that JSON does not have",
  edited((text) => text.replace("Allowed by", "Allowed\\x20by")),
  MALFORMED,
);
guard(
  "lone-surrogate",
  "Half a character in the message",
  edited((text) => text.replace("Allowed by", "Allowed\\ud83dby")),
  MALFORMED,
);
guard(
  "not-utf-8",
  "A byte that is not UTF-8 in the message",
  json((q) => notUtf8(right(q))),
  MALFORMED,
);
guard(
  "message-a-number",
  "The message is a number",
  edited((text) => text.replace('"Allowed by rule conformance."', "5")),
  MALFORMED,
);
guard("replayed-a-string", "`replayed` is a string", closing('"replayed":"true"'), MALFORMED);
guard(
  "decided-at-yesterday",
  "decidedAt is no time",
  edited((text) => text.replace(/"decidedAt":"[^"]*"/, '"decidedAt":"yesterday"')),
  MALFORMED,
);
for (const eighths of [1, 2, 3, 4, 5, 6, 7]) {
  stub(
    `cut-${eighths}-eighths`,
    `The first ${eighths} eighths of the answer`,
    edited((text) => text.slice(0, Math.floor((text.length * eighths) / 8))),
    MALFORMED,
  );
}
stub(
  "cut-brace",
  "The answer without its last brace",
  edited((text) => text.slice(0, -1)),
  MALFORMED,
);
stub(
  "cut-quote",
  "The answer without its last quotation mark and brace",
  edited((text) => text.slice(0, -2)),
  MALFORMED,
);
stub(
  "cut-and-closed",
  "The answer, cut before its decision and closed again",
  edited((text) => `${text.slice(0, text.indexOf(',"decision"'))}}`),
  MALFORMED,
);

function notUtf8(text: string): Uint8Array {
  const [before = "", after = ""] = text.split("Allowed by");
  return concat(utf8(before), utf8("Allowed"), Uint8Array.of(0xff), utf8("by"), utf8(after));
}
