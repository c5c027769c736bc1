/** Steps over any member or element. */
export const ANY = Symbol("*");
export type Step = string | typeof ANY;

/** A place in payloads, as `redact` names it. */
export interface RedactPath {
  readonly source: string;
  /** From the payload down; none means the payload itself. */
  readonly steps: readonly Step[];
}

export interface PathProblem {
  /** Where in the text. */
  readonly offset: number;
  /** What was wrong, and what to write instead. */
  readonly message: string;
}

/** As deep as payloads may be. */
const MAX_STEPS = 32;
/** A step: `.*`, `.name`, or `["any name"]` with JSON's escapes. */
const STEP = /\.(?:(\*)|([A-Za-z_][A-Za-z0-9_]*))|\[("(?:[^"\\]|\\.)*")\]/y;

/** Reads `payload.card.number`, `payload.*.password` or `payload["content-type"]`. */
export function parseRedactPath(source: string): RedactPath | PathProblem {
  if (!/^payload(?![A-Za-z0-9_])/.test(source)) {
    return { offset: 0, message: `path ${JSON.stringify(source)}; write one that begins with payload` };
  }
  const steps: Step[] = [];
  for (let at = "payload".length; at < source.length; at = STEP.lastIndex) {
    STEP.lastIndex = at;
    const step = stepOf(STEP.exec(source));
    if (step === null) return { offset: at, message: notAStep(source.slice(at)) };
    if (steps.push(step) > MAX_STEPS)
      return { offset: at, message: `a path of more than ${MAX_STEPS} steps; no payload is as deep` };
  }
  return { source, steps };
}

function stepOf(match: RegExpExecArray | null): Step | null {
  if (match === null) return null;
  const [, any, name, quoted] = match;
  if (any !== undefined) return ANY;
  return name ?? unquoted(quoted ?? "");
}

function unquoted(text: string): string | null {
  try {
    const name: unknown = JSON.parse(text);
    return typeof name === "string" ? name : null;
  } catch {
    return null;
  }
}

function notAStep(rest: string): string {
  if (/^\[[0-9*]*\]/.test(rest)) {
    return `${JSON.stringify(rest)}: elements need no step, for lists are looked through; write payload.cards.number for the number of each card`;
  }
  return `the path is not understood from ${JSON.stringify(rest.slice(0, 20))} on; write .name, .* or ["a-name"]`;
}
