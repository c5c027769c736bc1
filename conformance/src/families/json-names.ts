/** Members under nearly the right name, and under the same name twice. */
import { allowing, toJson } from "../answer.ts";
import { family, json, MALFORMED } from "../case.ts";

const { cases, stub, guard } = family("json-name");
export const jsonNames = cases;

/** The right answer's text, edited. */
const edited = (edit: (text: string) => string) => json((q) => edit(toJson(allowing(q))));
/** The right answer with this text before its first member. */
const opening = (text: string) => edited((whole) => `{${text},${whole.slice(1)}`);
/** The right answer with this text after its last member. */
const closing = (text: string) => edited((whole) => `${whole.slice(0, -1)},${text}}`);

/** Nearly the decision's name, as JSON writes it. */
const NAMES: Record<string, string> = {
  capitalized: "Decision",
  "upper-case": "DECISION",
  "space-after": "decision ",
  "space-before": " decision",
  "nul-after": "decision\\u0000",
  homoglyph: "decisi\\u043en",
  "bom-before": "\\ufeffdecision",
  plural: "decisions",
};
for (const [name, text] of Object.entries(NAMES)) {
  stub(
    `decision-${name}`,
    `The decision's name is "${text}"`,
    edited((whole) => whole.replace('"decision"', `"${text}"`)),
    MALFORMED,
  );
}

// Repeated names: JSON leaves open which one counts, so two readers may disagree.
guard(
  "decision-deny-then-allow",
  "Two decisions: deny, and then allow",
  opening('"decision":"DECISION_DENY"'),
  MALFORMED,
);
guard(
  "decision-allow-then-deny",
  "Two decisions: allow, and then deny",
  closing('"decision":"DECISION_DENY"'),
  MALFORMED,
);
guard("decision-twice", "The same decision twice", closing('"decision":"DECISION_ALLOW"'), MALFORMED);
guard("decision-null-then-allow", "Two decisions: null, and then allow", opening('"decision":null'), MALFORMED);
guard("decision-allow-then-null", "Two decisions: allow, and then null", closing('"decision":null'), MALFORMED);
guard(
  "decision-escaped-twice",
  "Two decisions, the first one's name in escapes",
  opening('"\\u0064ecision":"DECISION_DENY"'),
  MALFORMED,
);
guard("reason-twice", "Two reasons: denied, and then allowed", opening('"reason":"REASON_RULE_DENIED"'), MALFORMED);
guard("agent-twice", "Two agents: another, and then the right one", opening('"agentId":"somebody-else"'), MALFORMED);
guard(
  "agent-twice-reversed",
  "Two agents: the right one, and then another",
  closing('"agentId":"somebody-else"'),
  MALFORMED,
);
guard(
  "agent-by-both-names",
  "Two agents, under both of the field's names",
  closing('"agent_id":"somebody-else"'),
  MALFORMED,
);
guard("tool-twice", "Two tools: another, and then the right one", opening('"tool":"shell.exec"'), MALFORMED);
guard("key-twice", "Two keys: another, and then the right one", opening('"idempotencyKey":"another-key"'), MALFORMED);
guard(
  "key-by-both-names",
  "Two keys, under both of the field's names",
  closing('"idempotency_key":"another-key"'),
  MALFORMED,
);
guard(
  "nonce-twice",
  "Two nonces: another, and then the right one",
  opening('"nonce":"AAAAAAAAAAAAAAAAAAAAAA=="'),
  MALFORMED,
);
