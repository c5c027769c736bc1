import { RE2JS } from "@bufbuild/re2";
import type { Evaluation } from "./evaluation.ts";

/** A pattern larger than this compiles to a machine whose every step is slow. */
const MAX_INSTRUCTIONS = 1_000;
const ASCII = 128;

/** Operations of the machine, numbered as in Go's `regexp/syntax`, which the library ports. What is above them takes a rune. */
const Op = { alt: 1, altMatch: 2, capture: 3, emptyWidth: 4, fail: 5, match: 6, nop: 7 } as const;

/** The empty-width assertions, as bits of an instruction's argument. */
const Empty = { beginLine: 1, endLine: 2, beginText: 4, endText: 8, wordBoundary: 16, noWordBoundary: 32 } as const;

/** An instruction of the machine, linked to those that follow it. */
interface Step {
  readonly op: number;
  readonly assertions: number;
  /** Whether it takes ASCII character `c`, at `c`. */
  readonly ascii: readonly boolean[];
  readonly takes: (rune: number) => boolean;
  /** Where to go on, without taking a character or after taking one. */
  next: readonly Step[];
  /** The last position at which a search got here: the search's memory, kept here since searches do not overlap. */
  reachedAt: number;
}

/**
 * A regular expression of RE2's syntax, searched for in a text in time linear in the text.
 *
 * The syntax and its compilation are `@bufbuild/re2`'s. The search is ours: the library's lazy automaton keeps what it has
 * built, and random text made it build some 20 µs and 1 kB for each character (68 instructions). This one keeps a set of at
 * most {@link MAX_INSTRUCTIONS} threads and nothing between searches: Thompson's simulation, after Russ Cox's "Regular
 * Expression Matching: the Virtual Machine Approach".
 */
export class LinearRegex {
  readonly #steps: readonly Step[];
  readonly #start: readonly Step[];
  /** Whether the pattern begins with `^`, so that a search may end when nothing is left of it. */
  readonly #anchored: boolean;

  /** Throws an Error that says what is wrong with `pattern`. */
  constructor(pattern: string) {
    const machine = RE2JS.compile(pattern).re2().prog;
    const count = machine.numInst();
    if (count > MAX_INSTRUCTIONS) throw new Error(`it compiles to ${count} steps, more than ${MAX_INSTRUCTIONS}`);
    this.#steps = linkSteps(Array.from({ length: count }, (_, pc) => machine.getInst(pc)));
    this.#start = this.#steps.slice(machine.start, machine.start + 1);
    this.#anchored = (machine.startCond() & Empty.beginText) !== 0;
  }

  /** Whether the pattern matches anywhere in `text`; null if the evaluation's work ran out. */
  test(text: string, evaluation: Evaluation): boolean | null {
    for (const step of this.#steps) step.reachedAt = -1;
    const stack: Step[] = [];
    let waiting: Step[] = [];
    let previous = -1;
    for (let at = 0; ; at += previous > 0xffff ? 2 : 1) {
      const rune = text.codePointAt(at) ?? -1;
      if (at === 0 || !this.#anchored) waiting.push(...this.#start);
      else if (waiting.length === 0) return false;
      const threads = close(waiting, stack, at, assertionsBetween(previous, rune));
      if (threads === null) return true;
      if (!evaluation.spend(1 + waiting.length + threads.length)) return null;
      if (rune === -1) return false;
      waiting = take(threads, rune);
      previous = rune;
    }
  }
}

type Instruction = ReturnType<ReturnType<InstanceType<typeof RE2JS>["re2"]>["prog"]["getInst"]>;

function linkSteps(instructions: readonly Instruction[]): readonly Step[] {
  const steps = instructions.map((instruction): Step => {
    const takes = (rune: number): boolean => instruction.op > Op.nop && instruction.matchRune(rune);
    const ascii = Array.from({ length: ASCII }, (_, rune) => takes(rune));
    return { op: instruction.op, assertions: instruction.arg, ascii, takes, next: [], reachedAt: -1 };
  });
  instructions.forEach(({ op, out, arg }, pc) => {
    const step = steps[pc];
    const forks = op === Op.alt || op === Op.altMatch;
    if (step !== undefined) step.next = (forks ? [out, arg] : [out]).flatMap((target) => steps[target] ?? []);
  });
  return steps;
}

/**
 * Follows everything that takes no character, from the waiting steps to those that take one; null if a match is reached.
 *
 * INVARIANT: a step is entered once for each position, so neither the stack nor the threads outgrow the program.
 */
function close(waiting: readonly Step[], stack: Step[], at: number, assertions: number): Step[] | null {
  const threads: Step[] = [];
  enter(waiting, stack, at);
  for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
    if (step.op > Op.nop) threads.push(step);
    else if (step.op === Op.match) return null;
    else if (step.op === Op.emptyWidth && (step.assertions & ~assertions) !== 0) continue;
    else if (step.op !== Op.fail) enter(step.next, stack, at);
  }
  return threads;
}

function enter(steps: readonly Step[], stack: Step[], at: number): void {
  for (const step of steps) {
    if (step.reachedAt === at) continue;
    step.reachedAt = at;
    stack.push(step);
  }
}

function take(threads: readonly Step[], rune: number): Step[] {
  const waiting: Step[] = [];
  for (const thread of threads) {
    if (rune < ASCII ? thread.ascii[rune] : thread.takes(rune)) waiting.push(...thread.next);
  }
  return waiting;
}

/** Which assertions hold between two characters; -1 stands for the text's edge. */
function assertionsBetween(previous: number, next: number): number {
  let holds: number = isWord(previous) === isWord(next) ? Empty.noWordBoundary : Empty.wordBoundary;
  if (previous === -1) holds |= Empty.beginText | Empty.beginLine;
  else if (previous === 0x0a) holds |= Empty.beginLine;
  if (next === -1) holds |= Empty.endText | Empty.endLine;
  else if (next === 0x0a) holds |= Empty.endLine;
  return holds;
}

function isWord(rune: number): boolean {
  return (
    (rune >= 0x61 && rune <= 0x7a) || (rune >= 0x41 && rune <= 0x5a) || (rune >= 0x30 && rune <= 0x39) || rune === 0x5f
  );
}
