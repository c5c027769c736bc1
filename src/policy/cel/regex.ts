import { RE2JS } from "@bufbuild/re2";
import { EXHAUSTED, type Evaluation } from "./evaluation.ts";

/** A pattern larger than this compiles to a machine whose every step is slow. */
const MAX_INSTRUCTIONS = 1_000;

/** The machine's instructions, numbered as in Go's `regexp/syntax`, which the library ports. */
const Op = { alt: 1, altMatch: 2, capture: 3, emptyWidth: 4, fail: 5, match: 6, nop: 7 } as const;
const ASCII = 128;

/** The empty-width assertions, as bits of an emptyWidth instruction's argument. */
const Empty = { beginLine: 1, endLine: 2, beginText: 4, endText: 8, wordBoundary: 16, noWordBoundary: 32 } as const;

type Machine = ReturnType<InstanceType<typeof RE2JS>["re2"]>["prog"];
type Instruction = ReturnType<Machine["getInst"]>;

/**
 * A regular expression of RE2's syntax, searched for in a text in time linear in the text.
 *
 * The syntax and its compilation are `@bufbuild/re2`'s. The search is ours: the library's lazy automaton keeps what it has
 * built, and a sender of random text made it build some 20 µs and 1 kB for each character (68 instructions). This one keeps a
 * set of at most {@link MAX_INSTRUCTIONS} threads and nothing between searches: Thompson's simulation, after Russ Cox's
 * "Regular Expression Matching: the Virtual Machine Approach".
 */
export class LinearRegex {
  readonly #instructions: readonly Instruction[];
  readonly #start: number;
  readonly #anchored: boolean;
  /** Whether rune instruction `i` takes ASCII character `c`, at `i * 128 + c`. */
  readonly #ascii: Uint8Array;
  /** At which position an instruction was last reached; the simulation's memory, reused since searches do not overlap. */
  readonly #reached: Int32Array;
  readonly #stack: Int32Array;
  #threads: Int32Array;
  #successors: Int32Array;

  /** Throws an Error that says what is wrong with `pattern`. */
  constructor(pattern: string) {
    const machine = RE2JS.compile(pattern).re2().prog;
    const count = machine.numInst();
    if (count > MAX_INSTRUCTIONS) throw new Error(`it compiles to ${count} steps, more than ${MAX_INSTRUCTIONS}`);
    this.#instructions = Array.from({ length: count }, (_, pc) => machine.getInst(pc));
    this.#start = machine.start;
    this.#anchored = (machine.startCond() & Empty.beginText) !== 0;
    this.#ascii = asciiTable(this.#instructions);
    this.#reached = new Int32Array(count);
    this.#stack = new Int32Array(count);
    this.#threads = new Int32Array(count);
    this.#successors = new Int32Array(count + 1);
  }

  /** Whether the pattern matches anywhere in `text`; null if the evaluation's work ran out. */
  test(text: string, evaluation: Evaluation): boolean | null {
    this.#reached.fill(-1);
    let waiting = 0;
    let previous = -1;
    for (let at = 0; ; ) {
      const rune = at < text.length ? (text.codePointAt(at) as number) : -1;
      if (at === 0 || !this.#anchored) this.#successors[waiting++] = this.#start;
      else if (waiting === 0) return false;
      const threads = this.#close(waiting, at, assertionsBetween(previous, rune));
      if (threads === null) return true;
      if (!evaluation.spend(1 + waiting + threads)) return null;
      if (rune === -1) return false;
      waiting = this.#step(threads, rune);
      previous = rune;
      at += rune > 0xffff ? 2 : 1;
    }
  }

  /** Follows everything that takes no character, from the waiting successors to threads. Null if that reaches a match. */
  #close(waiting: number, at: number, assertions: number): number | null {
    let depth = 0;
    let threads = 0;
    for (let i = 0; i < waiting; i++) {
      depth = this.#push(this.#successors[i] as number, at, depth);
      while (depth > 0) {
        const pc = this.#stack[--depth] as number;
        const instruction = this.#instructions[pc] as Instruction;
        switch (instruction.op) {
          case Op.match:
            return null;
          case Op.fail:
            break;
          case Op.alt:
          case Op.altMatch:
            depth = this.#push(instruction.out, at, depth);
            depth = this.#push(instruction.arg, at, depth);
            break;
          case Op.emptyWidth:
            if ((instruction.arg & ~assertions) === 0) depth = this.#push(instruction.out, at, depth);
            break;
          case Op.capture:
          case Op.nop:
            depth = this.#push(instruction.out, at, depth);
            break;
          default:
            this.#threads[threads++] = pc;
        }
      }
    }
    return threads;
  }

  /** INVARIANT: an instruction is pushed once for each position, so neither stack nor thread list outgrows the program. */
  #push(pc: number, at: number, depth: number): number {
    if (this.#reached[pc] === at) return depth;
    this.#reached[pc] = at;
    this.#stack[depth] = pc;
    return depth + 1;
  }

  #step(threads: number, rune: number): number {
    let waiting = 0;
    for (let i = 0; i < threads; i++) {
      const pc = this.#threads[i] as number;
      const instruction = this.#instructions[pc] as Instruction;
      const takes = rune < ASCII ? this.#ascii[pc * ASCII + rune] === 1 : instruction.matchRune(rune);
      if (takes) this.#successors[waiting++] = instruction.out;
    }
    return waiting;
  }
}

function asciiTable(instructions: readonly Instruction[]): Uint8Array {
  const table = new Uint8Array(instructions.length * ASCII);
  instructions.forEach((instruction, pc) => {
    if (instruction.op <= Op.nop) return;
    for (let rune = 0; rune < ASCII; rune++) table[pc * ASCII + rune] = instruction.matchRune(rune) ? 1 : 0;
  });
  return table;
}

/** Which assertions hold between two characters; -1 stands for the text's edge. */
function assertionsBetween(previous: number, next: number): number {
  let holds = isWord(previous) === isWord(next) ? Empty.noWordBoundary : Empty.wordBoundary;
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
