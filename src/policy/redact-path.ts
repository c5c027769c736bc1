import { ANY, stepAt } from "./payload-path.ts";

/** A place in payloads, as `redact` names it. */
export interface RedactPath {
  readonly source: string;
  /** From the payload down; none means the payload itself. */
  readonly steps: readonly (string | typeof ANY)[];
}

export interface PathProblem {
  /** Where in the text. */
  readonly offset: number;
  /** What was wrong, and what to write instead. */
  readonly message: string;
}

/** As deep as payloads may be. */
const MAX_STEPS = 32;

/** Reads `payload.card.number`, `payload.*.password` or `payload["content-type"]`. */
export function parseRedactPath(source: string): RedactPath | PathProblem {
  if (!/^payload(?![A-Za-z0-9_])/.test(source)) {
    return { offset: 0, message: `path ${JSON.stringify(source)}; write one that begins with payload` };
  }
  const steps: (string | typeof ANY)[] = [];
  for (let at = "payload".length; at < source.length; ) {
    const found = stepAt(source, at);
    if (found === null || typeof found.step === "number") return { offset: at, message: notAStep(source.slice(at)) };
    if (steps.push(found.step) > MAX_STEPS)
      return { offset: at, message: `a path of more than ${MAX_STEPS} steps; no payload is as deep` };
    at = found.end;
  }
  return { source, steps };
}

function notAStep(rest: string): string {
  if (/^\[[0-9*]*\]/.test(rest)) {
    return `${JSON.stringify(rest)}: elements need no step, for lists are looked through; write payload.cards.number for the number of each card`;
  }
  return `the path is not understood from ${JSON.stringify(rest.slice(0, 20))} on; write .name, .* or ["a-name"]`;
}
