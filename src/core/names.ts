/**
 * What agents, operators and the subjects of issuers may be called. Each name stands for one party in rules, in the trail and
 * before people who decide: a name that could be taken for another's is not given to anybody.
 */

/** Ids of agents as they are stored and come in credentials. Older versions made some that {@link nameProblem} refuses. */
export const AGENT_ID = /^[a-z0-9][a-z0-9.-]{0,62}$/;
/** Names of local accounts as they are stored, likewise. */
export const OPERATOR_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** Before the subject of an issuer's token, which keeps it apart from local accounts. */
export const SUBJECT_PREFIX = "oidc:";

const MAX_NAME_CHARACTERS = 63;
const MAX_SUBJECT_CHARACTERS = 200;
const NAME = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/;

/**
 * Why nobody new may have this name, as the end of a sentence whose subject is the name; null if somebody may.
 *
 * One alphabet and single marks between letters and digits: `ag1.`, `Ag1`, `ag1 ` and `ag..1` would be taken for `ag1` or `ag.1`.
 */
export function nameProblem(name: string, kind: "agent" | "operator"): string | null {
  const marks = kind === "agent" ? "dot or hyphen" : "dot, hyphen or underscore";
  const fits = name.length <= MAX_NAME_CHARACTERS && NAME.test(name) && !(kind === "agent" && name.includes("_"));
  return fits ? null : `must be 1 to ${MAX_NAME_CHARACTERS} of a-z and 0-9, with single marks (${marks}) between them`;
}

/** Whether text may be a subject at all. What more it must be to act is {@link actingProblem}'s. */
export function isSubject(text: unknown): text is string {
  return typeof text === "string" && /^[^\p{Cc}\p{Cs}]+$/u.test(text) && text.length <= MAX_SUBJECT_CHARACTERS;
}

/**
 * Why an operator of this name may read, but not change or decide anything, as the end of a sentence whose subject is the name; null if
 * they may. Names that older versions gave, or that an issuer gives, are not all fit for that.
 *
 * @param name of an operator: an account's, or {@link SUBJECT_PREFIX} and a subject
 */
export function actingProblem(name: string): string | null {
  return name.startsWith(SUBJECT_PREFIX)
    ? subjectProblem(name.slice(SUBJECT_PREFIX.length))
    : nameProblem(name, "operator");
}

/** Characters that are not seen, or not as what they are. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const LOOSE_SPACE = /^\s|\s$|\s\s|[^\S ]/u;

function subjectProblem(subject: string): string | null {
  if (UNSEEN.test(subject)) return "has invisible characters";
  if (LOOSE_SPACE.test(subject)) return "has leading, trailing, repeated or unusual spaces";
  if (/^\p{M}/u.test(subject) || subject !== subject.normalize("NFKC"))
    return "is not in normalised form (NFKC), or begins with a combining mark";
  scriptSets ??= scripts();
  return scriptSets.some((script) => script.test(subject)) ? null : "mixes scripts whose letters look alike";
}

/** Made when somebody asks: every client loads this file for its agent's id. */
let scriptSets: readonly RegExp[] | undefined;

/** Sets of scripts that are written together, as in UTS 39's "highly restrictive" level, each with signs that belong to none. */
function scripts(): RegExp[] {
  const alone =
    "Arabic Armenian Bengali Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Hebrew Kannada Khmer Lao " +
    "Malayalam Myanmar Oriya Sinhala Tamil Telugu Thaana Thai Tibetan";
  return ["Latin Han Hiragana Katakana Hangul Bopomofo", ...alone.split(" ")].map((set) => {
    const classes = `${set} Common Inherited`.split(" ").map((script) => `\\p{Script=${script}}`);
    return new RegExp(`^[${classes.join("")}]*$`, "u");
  });
}

/** Letters of Cyrillic, Greek and Armenian, and digits, that look like one of a-z; and two letters that look like one. */
const LOOKALIKES: readonly (readonly [RegExp, string])[] = [
  [/[1i|\u0131\u0456\u04cf\u03b9]/gu, "l"],
  [/[0\u043e\u03bf\u0585]/gu, "o"],
  [/[\u0430\u03b1]/gu, "a"],
  [/[\u0435\u0454]/gu, "e"],
  [/[\u0441\u03f2]/gu, "c"],
  [/[\u0440\u03c1]/gu, "p"],
  [/[\u0445\u03c7]/gu, "x"],
  [/[\u0443\u03b3\u04af]/gu, "y"],
  [/\u0455/gu, "s"],
  [/\u0458/gu, "j"],
  [/\u0501/gu, "d"],
  [/\u04bb/gu, "h"],
  [/[\u043a\u03ba]/gu, "k"],
  [/\u03bd/gu, "v"],
  [/\u0578/gu, "n"],
  [/\u057d/gu, "u"],
  [/[\u0261\u0581]/gu, "g"],
  [/\u051b/gu, "q"],
  [/\u051d/gu, "w"],
  [/rn/g, "m"],
];

/**
 * Whether people could take one name for the other: they differ at most in case, accents, marks at their ends, the kind of marks
 * inside, {@link SUBJECT_PREFIX}, and letters that look alike.
 */
export function isAlike(one: string, other: string): boolean {
  const likeness = likenessOf(one);
  return one === other || (likeness !== "" && likeness === likenessOf(other));
}

function likenessOf(name: string): string {
  const letters = (name.startsWith(SUBJECT_PREFIX) ? name.slice(SUBJECT_PREFIX.length) : name)
    .normalize("NFKD")
    .replaceAll(/[\p{M}\p{C}\p{Default_Ignorable_Code_Point}]/gu, "")
    .toLowerCase();
  const latin = LOOKALIKES.reduce((text, [looks, like]) => text.replaceAll(looks, like), letters);
  return latin.replaceAll(/[^\p{L}\p{N}]+/gu, "-").replaceAll(/^-|-$/g, "");
}
