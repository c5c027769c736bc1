import {
  type Document,
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
} from "yaml";

/** Something in a file that its author has to change, or (a warning) may want to. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** What was wrong, with which value; what to write instead. */
  readonly message: string;
}

export function formatProblem({ file, line, column, message }: Problem): string {
  return `${file}:${line}:${column}: ${message}`;
}

/** One entry of a mapping. */
export interface Entry {
  readonly key: Node;
  readonly value: Node | null;
}

/** What the library says for programmers. */
const IN_OUR_WORDS: Partial<Record<ErrorCode, string>> = {
  DUPLICATE_KEY: "this key occurs twice in one mapping; keep one",
  MULTIPLE_DOCS: "a second document begins here; write it into a file of its own",
  RESOURCE_EXHAUSTION: "this is nested too deeply; write it flatter",
};

const QUOTE_CONDITION =
  "write the whole condition in single quotes, with each ' in it doubled, or in the lines below `when: >-`";

function inOurWords(code: ErrorCode, message: string, isInCondition: boolean): string {
  const tag = code === "TAG_RESOLVE_FAILED" ? /^Unresolved tag: (!.*)$/s.exec(message)?.[1] : undefined;
  const what =
    tag === undefined
      ? (IN_OUR_WORDS[code] ?? message)
      : `${JSON.stringify(tag)} is a tag in YAML, for it begins with "!"`;
  if (isInCondition) return `${what}; ${QUOTE_CONDITION}`;
  return tag === undefined ? what : `${what}; write it in quotes`;
}

/**
 * A YAML file being read: hands out nodes of the kinds asked for, and gathers what is wrong with their places. Anchors, aliases
 * and repeated keys are refused; what a file says must be what it shows.
 */
export class YamlFile {
  readonly path: string;
  readonly problems: Problem[] = [];
  readonly #text: string;
  readonly #lines = new LineCounter();
  readonly #document: Document.Parsed;

  constructor(path: string, text: string) {
    this.path = path;
    this.#text = text;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: true });
    const lines = new Set<number>();
    const errors = [...this.#document.errors, ...this.#document.warnings].toSorted((a, b) => a.pos[0] - b.pos[0]);
    for (const { code, pos, message } of errors) {
      const condition = !(code in IN_OUR_WORDS) && this.#isInCondition(pos[0]);
      const { line } = this.#place(pos[0]);
      // What follows in the line is the same mistake again.
      if (!condition || !lines.has(line)) this.#report(pos[0], inOurWords(code, message, condition));
      lines.add(line);
    }
  }

  get root(): Node | null {
    return this.#document.contents;
  }

  refuse(node: Node | null, message: string): void {
    this.#report(node?.range?.[0] ?? 0, message);
  }

  /** `node` at `offset` of its text, as with an error within a condition. */
  refuseWithin(node: Node, offset: number, message: string): void {
    this.#report(this.#offsetWithin(node, offset), message);
  }

  /** Line and column, from 1, of `offset` within the text of `node`. */
  placeWithin(node: Node, offset: number): { line: number; column: number } {
    return this.#place(this.#offsetWithin(node, offset));
  }

  /** The entries of a mapping by key, or null with a problem. Keys other than `allowed` are problems. */
  mapping(node: Node | null, what: string, allowed: readonly string[]): ReadonlyMap<string, Entry> | null {
    if (!isMap<Node, Node | null>(node)) {
      this.refuse(node, `${what} is ${describe(node)}; write a mapping with ${allowed.join(", ")}`);
      return null;
    }
    const entries = new Map<string, Entry>();
    for (const { key, value } of node.items) {
      if (isScalar(key) && typeof key.value === "string" && allowed.includes(key.value)) {
        if (isAlias(value) || value?.anchor !== undefined)
          this.refuse(value, "anchors and aliases are refused; write it out");
        entries.set(key.value, { key, value });
      } else {
        this.refuse(key, `unknown key ${describe(key)}; ${what} has ${allowed.join(", ")}`);
      }
    }
    return entries;
  }

  /** The entries of a mapping whose keys are the author's, or null with a problem. */
  members({ key, value }: Entry, what: string): readonly Entry[] | null {
    if (isMap<Node, Node | null>(value) && value.items.length > 0 && value.anchor === undefined) return value.items;
    this.refuse(value ?? key, `${what} is ${describe(value)}; write a mapping with at least one entry`);
    return null;
  }

  /** The elements of a list that is not empty, or null with a problem. */
  list(entry: Entry, what: string): readonly (Node | null)[] | null {
    const { value } = entry;
    if (isSeq<Node>(value) && value.items.length > 0) return value.items;
    this.refuse(value ?? entry.key, `${what} is ${describe(value)}; write a list with at least one element`);
    return null;
  }

  /** A text, or null with a problem. */
  text(node: Node | null, what: string, fallback: Node | null = null): string | null {
    if (isScalar(node) && typeof node.value === "string" && node.value.trim() !== "" && node.anchor === undefined) {
      return node.value;
    }
    this.refuse(
      node ?? fallback,
      `${what} is ${describe(node)}; write a text, in quotes if it looks like something else`,
    );
    return null;
  }

  /** The texts of a list that is not empty, each held to `problemOf`; or null with problems. */
  texts(entry: Entry, what: string, problemOf: (text: string) => string | null): readonly string[] | null {
    const texts: string[] = [];
    const nodes = this.list(entry, what);
    for (const node of nodes ?? []) {
      const text = this.text(node, `an element of ${what}`, entry.key);
      const problem = text === null ? null : problemOf(text);
      if (problem !== null) this.refuse(node, problem);
      else if (text !== null) texts.push(text);
    }
    return nodes !== null && texts.length === nodes.length ? texts : null;
  }

  /** The entry of a key that has to be there, or null with a problem that says what to write. */
  required(owner: Node, entries: ReadonlyMap<string, Entry>, key: string, what: string): Entry | null {
    const entry = entries.get(key);
    if (entry === undefined) this.refuse(owner, `${key} is missing; write ${key}: with ${what}`);
    return entry ?? null;
  }

  /** One of the words `allowed`, or null with a problem. */
  choice<Word extends string>(entry: Entry, key: string, allowed: readonly Word[]): Word | null {
    const text = this.text(entry.value, key, entry.key);
    const word = allowed.find((known) => known === text) ?? null;
    if (text !== null && word === null) {
      this.refuse(entry.value, `unknown ${key} ${describe(entry.value)}; write ${allowed.join(", ")}`);
    }
    return word;
  }

  /** Whether `offset` is behind a `when:` in its line. */
  #isInCondition(offset: number): boolean {
    const start = this.#text.lastIndexOf("\n", offset - 1) + 1;
    return /(?:^|[\s{,-])when:\s/.test(this.#text.slice(start, offset));
  }

  #report(offset: number, message: string): void {
    this.problems.push({ file: this.path, ...this.#place(offset), message });
  }

  #place(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  /**
   * Where the character at `offset` of a scalar's value stands in the file. Folding and block indentation change white space
   * alone, so the place is found by counting the other characters; where escapes make them differ it is the scalar's start.
   */
  #offsetWithin(node: Node, offset: number): number {
    const start = node.range?.[0] ?? 0;
    const end = node.range?.[1] ?? start;
    if (!isScalar(node) || typeof node.value !== "string") return start;
    const wanted = countVisible(node.value.slice(0, offset));
    let seen = 0;
    for (let at = start + headerLength(node, this.#text.slice(start, end)); at < end; at++) {
      if (isSpace(this.#text.charAt(at))) continue;
      if (seen === wanted) return this.#text[at] === node.value.trimEnd()[offset] || offset === 0 ? at : start;
      seen++;
    }
    return start;
  }
}

/** What stands before a scalar's first character: a quote, or the line with `|` or `>`. */
function headerLength({ type }: Scalar, source: string): number {
  if (type === "BLOCK_LITERAL" || type === "BLOCK_FOLDED") return source.indexOf("\n") + 1;
  return type === "QUOTE_DOUBLE" || type === "QUOTE_SINGLE" ? 1 : 0;
}

function countVisible(text: string): number {
  let count = 0;
  for (const character of text) if (!isSpace(character)) count++;
  return count;
}

function isSpace(character: string): boolean {
  return character === " " || character === "\n" || character === "\r" || character === "\t";
}

/** A node as its author wrote it, shortened. */
export function describe(node: Node | null): string {
  if (isMap(node)) return "a mapping";
  if (isSeq(node)) return node.items.length === 0 ? "an empty list" : "a list";
  if (isAlias(node)) return `the alias *${node.source}`;
  if (!isScalar(node) || node.value === null || node.value === "") return "empty";
  const text = typeof node.value === "string" ? JSON.stringify(node.value) : (node.source ?? "a value");
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
