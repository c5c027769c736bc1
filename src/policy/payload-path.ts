/** Paths into payloads, such as `payload.to[0]["content-type"]`: how conditions, findings and `redact` write them. */

/** Stands for any member. */
export const ANY = Symbol("*");
/** A member's name, an element's index, or any of them. */
export type Step = string | number | typeof ANY;

const NAME = "[A-Za-z_][A-Za-z0-9_]*";
/** `.*`, `.name`, `[0]`, or `["any name"]` with JSON's escapes. */
const STEP = new RegExp(`\\.(?:(\\*)|(${NAME}))|\\[(\\d+)\\]|\\[("(?:[^"\\\\]|\\\\.)*")\\]`, "y");
const PLAIN = new RegExp(`^${NAME}$`);

/** The step of `path` that begins at `at`, and where the next one does; null if there is none. */
export function stepAt(path: string, at: number): { readonly step: Step; readonly end: number } | null {
  STEP.lastIndex = at;
  const match = STEP.exec(path);
  if (match === null) return null;
  const [, any, name, index, quoted] = match;
  const step = any === undefined ? (name ?? (index === undefined ? unquoted(quoted ?? "") : Number(index))) : ANY;
  return step === null ? null : { step, end: STEP.lastIndex };
}

/** The step to a member. `["note"]` is `.note`, so that each path has one text. */
export function memberStep(name: string): string {
  return PLAIN.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
}

function unquoted(text: string): string | null {
  try {
    const name: unknown = JSON.parse(text);
    return typeof name === "string" ? name : null;
  } catch {
    return null;
  }
}
