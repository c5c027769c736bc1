import { RE2JS } from "@bufbuild/re2";
import type { Evaluation } from "./evaluation.ts";

/** A pattern larger than this compiles to a machine whose every step is slow. */
const MAX_INSTRUCTIONS = 1_000;
const ASCII = 128;

/** Operations of the machine, numbered as in Go's `regexp/syntax`, which the library ports. What is above them takes a rune. */
const Op = { alt: 1, altMatch: 2, capture: 3, emptyWidth: 4, fail: 5, match: 6, nop: 7 } as const;

/** The empty-width assertions, as bits of an instruction's argument. */
const Empty = { beginLine: 1, endLine: 2, beginText: 4, endText: 8, wordBoundary: 16, noWordBoundary: 32 } as const;

type Instruction = ReturnType<ReturnType<InstanceType<typeof RE2JS>["re2"]>["prog"]["getInst"]>;

/**
 * A regular expression of RE2's syntax, searched for in a text in time linear in the text.
 *
 * The syntax and its compilation are `@bufbuild/re2`'s. The search is ours: the library's lazy automaton keeps what it has
 * built, and random text made it build some 20 µs and 1 kB for each character (68 instructions). This one keeps a set of at
 * most {@link MAX_INSTRUCTIONS} threads and nothing between searches: Thompson's simulation, after Russ Cox's "Regular
 * Expression Matching: the Virtual Machine Approach".
 */
export class LinearRegex {
  readonly #instructions: readonly Instruction[];
  readonly #ops: Uint8Array;
  /** Where instruction `pc` goes on, and where an alternative of it does. */
  readonly #outs: Int32Array;
  readonly #args: Int32Array;
  /** Whether instruction `pc` takes ASCII character `c`: 1 at `pc * 128 + c`. */
  readonly #ascii: Uint8Array;
  readonly #start: number;
  /** Whether the pattern begins with `^`, so that a search may end when nothing is left of it. */
  readonly #anchored: boolean;
  readonly #asserts: boolean;
  // Working space, kept since searches do not overlap: the position at which each instruction was last reached, and lists
  // of instructions.
  readonly #reachedAt: Int32Array;
  readonly #stack: Int32Array;
  readonly #threads: Int32Array;
  readonly #waiting: Int32Array;

  /** Throws an Error that says what is wrong with `pattern`. */
  constructor(pattern: string) {
    const machine = RE2JS.compile(pattern).re2().prog;
    const count = machine.numInst();
    if (count > MAX_INSTRUCTIONS) throw new Error(`it compiles to ${count} steps, more than ${MAX_INSTRUCTIONS}`);
    this.#instructions = Array.from({ length: count }, (_, pc) => machine.getInst(pc));
    this.#ops = Uint8Array.from(this.#instructions, ({ op }) => op);
    this.#outs = Int32Array.from(this.#instructions, ({ out }) => out);
    this.#args = Int32Array.from(this.#instructions, ({ arg }) => arg);
    this.#ascii = asciiTable(this.#instructions);
    this.#start = machine.start;
    this.#anchored = (machine.startCond() & Empty.beginText) !== 0;
    this.#asserts = this.#ops.includes(Op.emptyWidth);
    this.#reachedAt = new Int32Array(count);
    this.#stack = new Int32Array(count);
    this.#threads = new Int32Array(count);
    this.#waiting = new Int32Array(count + 1);
  }

  /** Whether the pattern matches anywhere in `text`; null if the evaluation's work ran out. */
  test(text: string, evaluation: Evaluation): boolean | null {
    this.#reachedAt.fill(-1);
    let waiting = 0;
    let previous = -1;
    for (let at = 0; ; at += previous > 0xffff ? 2 : 1) {
      const rune = text.codePointAt(at) ?? -1;
      if (at === 0 || !this.#anchored) this.#waiting[waiting++] = this.#start;
      else if (waiting === 0) return false;
      const threads = this.#close(waiting, at, this.#asserts ? assertionsBetween(previous, rune) : 0);
      if (threads === null) return true;
      // Beyond ASCII the library is asked, who searches ranges and folds cases.
      if (!evaluation.spend(1 + waiting + threads * (rune < ASCII ? 1 : 4))) return null;
      if (rune === -1) return false;
      waiting = this.#take(threads, rune);
      previous = rune;
    }
  }

  /**
   * Follows everything that takes no character, from the waiting instructions to the threads, which take one. The number of
   * threads, or null if a match is reached.
   *
   * INVARIANT: an instruction is entered once for each position, so neither the stack nor the threads outgrow the program.
   */
  #close(waiting: number, at: number, assertions: number): number | null {
    let threads = 0;
    for (let i = 0; i < waiting; i++) {
      let depth = this.#enter(this.#waiting[i] ?? 0, at, 0);
      while (depth > 0) {
        const pc = this.#stack[--depth] ?? 0;
        const op = this.#ops[pc] ?? Op.fail;
        if (op > Op.nop) {
          this.#threads[threads++] = pc;
        } else if (op === Op.match) {
          return null;
        } else if (op !== Op.fail && (op !== Op.emptyWidth || ((this.#args[pc] ?? 0) & ~assertions) === 0)) {
          depth = this.#enter(this.#outs[pc] ?? 0, at, depth);
          if (op === Op.alt || op === Op.altMatch) depth = this.#enter(this.#args[pc] ?? 0, at, depth);
        }
      }
    }
    return threads;
  }

  #enter(pc: number, at: number, depth: number): number {
    if (this.#reachedAt[pc] === at) return depth;
    this.#reachedAt[pc] = at;
    this.#stack[depth] = pc;
    return depth + 1;
  }

  /** The threads that take `rune` wait behind it for the next position. */
  #take(threads: number, rune: number): number {
    let waiting = 0;
    for (let i = 0; i < threads; i++) {
      const pc = this.#threads[i] ?? 0;
      const takes = rune < ASCII ? this.#ascii[pc * ASCII + rune] === 1 : this.#instructions[pc]?.matchRune(rune);
      if (takes === true) this.#waiting[waiting++] = this.#outs[pc] ?? 0;
    }
    return waiting;
  }
}

function asciiTable(instructions: readonly Instruction[]): Uint8Array {
  const takes = instructions.map((instruction) =>
    Array.from({ length: ASCII }, (_, rune) => Number(instruction.op > Op.nop && instruction.matchRune(rune))),
  );
  return Uint8Array.from(takes.flat());
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
