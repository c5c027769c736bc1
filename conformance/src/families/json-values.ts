/** The answer in JSON with one member's value spoiled. */
import { allowing, toJson } from "../answer.ts";
import { family, json, MALFORMED } from "../case.ts";
import type { Question } from "../question.ts";

const { cases, stub, guard } = family("json-value");
export const jsonValues = cases;

const member = (name: string, text: string | ((q: Question) => string)) =>
  json((q) => toJson(allowing(q), { [name]: typeof text === "string" ? text : text(q) }));

/** What is no name of a decision, however much it looks like one. */
const DECISIONS: Record<string, string> = {
  null: "null",
  "empty-string": '""',
  "short-name": '"ALLOW"',
  "short-lower": '"allow"',
  "lower-case": '"decision_allow"',
  "mixed-case": '"Decision_Allow"',
  "one-letter-more": '"DECISION_ALLOWED"',
  "one-letter-less": '"DECISION_ALLO"',
  "space-before": '" DECISION_ALLOW"',
  "space-after": '"DECISION_ALLOW "',
  "newline-after": '"DECISION_ALLOW\\n"',
  "nul-after": '"DECISION_ALLOW\\u0000"',
  "bom-before": '"\\ufeffDECISION_ALLOW"',
  homoglyph: '"DECISI\u041eN_ALLOW"',
  "full-width": '"\uff24ECISION_ALLOW"',
  hyphen: '"DECISION-ALLOW"',
  "two-names": '"DECISION_ALLOW,DECISION_DENY"',
  alternatives: '"DECISION_DENY|DECISION_ALLOW"',
  "qualified-name": '"datacrawl.authz.v1.DECISION_ALLOW"',
  "number-in-a-string": '"1"',
  "unspecified-name": '"DECISION_UNSPECIFIED"',
  "deny-name": '"DECISION_DENY"',
  "reason-name": '"REASON_RULE_ALLOWED"',
  true: "true",
  false: "false",
  "true-string": '"true"',
  zero: "0",
  "minus-zero": "-0",
  deny: "2",
  three: "3",
  "minus-one": "-1",
  "one-and-a-half": "1.5",
  "nearly-one": "0.9999999",
  "int-max-plus-two": "2147483649",
  "two-to-32-plus-one": "4294967297",
  "two-to-53-plus-one": "9007199254740993",
  huge: "1e400",
  array: '["DECISION_ALLOW"]',
  "empty-array": "[]",
  "array-of-one": "[1]",
  object: '{"DECISION_ALLOW":true}',
  "object-value": '{"value":"DECISION_ALLOW"}',
  "empty-object": "{}",
  // Texts that are not JSON at all.
  unquoted: "DECISION_ALLOW",
  "single-quotes": "'DECISION_ALLOW'",
  "not-a-number": "NaN",
  infinity: "Infinity",
  undefined: "undefined",
  "leading-zero": "01",
  plus: "+1",
  hex: "0x1",
  nothing: "",
};
for (const [name, text] of Object.entries(DECISIONS)) {
  stub(
    `decision-${name}`,
    `The decision is ${text === "" ? "left out after its colon" : text}`,
    member("decision", text),
    MALFORMED,
  );
}

const REASONS: Record<string, string> = {
  null: "null",
  "short-name": '"RULE_ALLOWED"',
  "lower-case": '"reason_rule_allowed"',
  denying: '"REASON_RULE_DENIED"',
  "empty-string": '""',
  true: "true",
  array: '["REASON_RULE_ALLOWED"]',
  "number-in-a-string": '"1"',
  fraction: "1.5",
  "two-to-32-plus-one": "4294967297",
};
for (const [name, text] of Object.entries(REASONS)) {
  guard(`reason-${name}`, `The reason is ${text}`, member("reason", text), MALFORMED);
}

/** Echoes that a comparison which converts types would take for the right ones. */
for (const name of ["agentId", "tool", "idempotencyKey"] as const) {
  const kebab = name === "idempotencyKey" ? "key" : name === "agentId" ? "agent" : "tool";
  const quoted = (q: Question) => JSON.stringify(q[name]);
  guard(`${kebab}-null`, `${name} is null`, member(name, "null"), MALFORMED);
  guard(`${kebab}-true`, `${name} is true`, member(name, "true"), MALFORMED);
  guard(`${kebab}-number`, `${name} is a number`, member(name, "1"), MALFORMED);
  guard(
    `${kebab}-array`,
    `${name} is a list of the right string`,
    member(name, (q) => `[${quoted(q)}]`),
    MALFORMED,
  );
  guard(
    `${kebab}-object`,
    `${name} is an object that holds the right string`,
    member(name, (q) => `{"value":${quoted(q)}}`),
    MALFORMED,
  );
  guard(
    `${kebab}-lone-surrogate`,
    `${name} has half a character at its end`,
    member(name, (q) => `${quoted(q).slice(0, -1)}\\ud800"`),
    MALFORMED,
  );
}
const base64 = (q: Question) => Buffer.from(q.nonce).toString("base64");
const hex = (q: Question) => Buffer.from(q.nonce).toString("hex");
guard("nonce-null", "The nonce is null", member("nonce", "null"), MALFORMED);
guard(
  "nonce-array",
  "The nonce is a list of its bytes",
  member("nonce", (q) => JSON.stringify([...q.nonce])),
  MALFORMED,
);
guard(
  "nonce-hex",
  "The nonce is in hexadecimal",
  member("nonce", (q) => `"${hex(q)}"`),
  MALFORMED,
);
guard("nonce-not-base64", "The nonce is no base64", member("nonce", '"!!!"'), MALFORMED);
guard(
  "nonce-with-junk",
  "The nonce's base64 has junk in it, which some readers pass over",
  member("nonce", (q) => `"${base64(q).slice(0, 8)}!*~${base64(q).slice(8)}"`),
  MALFORMED,
);
guard(
  "nonce-other-case",
  "The nonce's base64 has the other case",
  member("nonce", (q) => `"${base64(q).replace(/[a-zA-Z]/g, (c) => (c < "a" ? c.toLowerCase() : c.toUpperCase()))}"`),
  MALFORMED,
);
