import { type JsonObject, type JsonValue, setMember } from "./json.ts";
import type { Path } from "./fault.ts";
import { INEXACT_INTEGER, isExactInteger } from "./canonical-json.ts";
import { Undecodable } from "./undecodable.ts";

/**
 * How deep a payload is decoded by either decoder. More than the contract's 32, which `core/request.ts` holds, and so
 * little that no stack overflows.
 */
export const DECODED_DEPTH = 64;

/** Up to what ends a string or is escaped in it. */
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

export interface JsonTextOptions {
  /**
   * Which numbers are read. `exact` (default): as below. `rounded`: also integers that a double rounds, for documents that others write
   * and whose large numbers nothing depends on. `integers`: only integers that are written as such, for documents that have no others.
   */
  readonly numbers?: "exact" | "rounded" | "integers";
  /** Refuses lone surrogates, which not every reader takes. */
  readonly wellFormed?: boolean;
}

/** What proofs and exports are written in: all readers read it alike. */
export const STRICTEST: JsonTextOptions = { numbers: "integers", wellFormed: true };

/**
 * Parses JSON text (RFC 8259), refusing also what `JSON.parse` lets pass although parsers differ in it: a name that occurs
 * twice in an object, nesting so deep that it could overflow a stack, and numbers that mean one value as they are written and
 * another as a double. Those are numbers beyond a double's range, integers beyond ±(2⁵³ − 1), and fractions that a double
 * rounds to an integer. Other fractions are rounded to the nearest double, as everywhere.
 *
 * @param path after an error leads to the offending part
 * @throws Undecodable
 */
export function parseJsonText(text: string, path: Path, options: JsonTextOptions = {}): JsonValue {
  const reader = new JsonReader(text, path, options);
  const value = reader.value(0);
  reader.end();
  return value;
}

class JsonReader {
  readonly #text: string;
  readonly #path: Path;
  readonly #numbers: JsonTextOptions["numbers"];
  readonly #wellFormed: boolean;
  #at = 0;

  constructor(text: string, path: Path, { numbers = "exact", wellFormed = false }: JsonTextOptions) {
    this.#text = text;
    this.#path = path;
    this.#numbers = numbers;
    this.#wellFormed = wellFormed;
  }

  value(depth: number): JsonValue {
    const first = this.#peek();
    if (first === '"') return this.#string();
    if (first === "{") return this.#object(depth);
    if (first === "[") return this.#array(depth);
    if (this.#isNext("true")) return true;
    if (this.#isNext("false")) return false;
    return this.#isNext("null") ? null : this.#number();
  }

  end(): void {
    if (this.#peek() !== "") throw this.#unexpected();
  }

  #object(depth: number): JsonObject {
    const object: JsonObject = {};
    this.#open(depth);
    if (this.#take("}")) return object;
    do {
      if (this.#peek() !== '"') throw this.#unexpected();
      const name = this.#string();
      this.#path.push(name);
      if (Object.hasOwn(object, name)) throw new Undecodable("occurs twice", "FIELD_INVALID");
      this.#expect(":");
      setMember(object, name, this.value(depth + 1));
      this.#path.pop();
    } while (this.#take(","));
    this.#expect("}");
    return object;
  }

  #array(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    this.#open(depth);
    if (this.#take("]")) return items;
    do {
      this.#path.push(items.length);
      items.push(this.value(depth + 1));
      this.#path.pop();
    } while (this.#take(","));
    this.#expect("]");
    return items;
  }

  /** The request itself is at depth 0, a payload at depth 1. */
  #open(depth: number): void {
    if (depth > DECODED_DEPTH) throw new Undecodable("is nested too deep", "FIELD_INVALID");
    this.#at++;
  }

  #string(): string {
    const start = this.#at++;
    let escaped = false;
    for (;;) {
      this.#skip(PLAIN);
      const unit = this.#text.charCodeAt(this.#at);
      if (unit === 0x22) break;
      if (unit !== 0x5c) throw this.#unexpected();
      escaped = true;
      this.#at += 2;
    }
    this.#at++;
    const text = escaped ? this.#unescape(start) : this.#text.slice(start + 1, this.#at - 1);
    if (this.#wellFormed && !text.isWellFormed()) throw new Undecodable("holds a lone surrogate");
    return text;
  }

  #unescape(start: number): string {
    try {
      const text: string = JSON.parse(this.#text.slice(start, this.#at));
      return text;
    } catch {
      throw new Undecodable(`is not JSON: a string at character ${start} has an unknown escape`);
    }
  }

  #isNext(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }

  #number(): number {
    const text = this.#match(NUMBER);
    if (text === "") throw this.#unexpected();
    const value = Number(text);
    if (!Number.isFinite(value)) throw new Undecodable("is a number beyond the range of a double", "FIELD_INVALID");
    if (this.#numbers === "integers" && !(INTEGER.test(text) && Number.isSafeInteger(value)))
      throw new Undecodable(`is the number ${excerpt(text)}, which is not a whole one of at most 53 bits`);
    if (this.#numbers !== "rounded" && Number.isInteger(value) && !isExactly(text, value)) {
      const problem = isExactInteger(value) ? "a double rounds to an integer" : INEXACT_INTEGER;
      throw new Undecodable(`is the number ${excerpt(text)}, which ${problem}; send it as a string`, "FIELD_INVALID");
    }
    return value;
  }

  #match(pattern: RegExp): string {
    const start = this.#at;
    this.#skip(pattern);
    return this.#text.slice(start, this.#at);
  }

  #skip(pattern: RegExp): void {
    pattern.lastIndex = this.#at;
    if (pattern.test(this.#text)) this.#at = pattern.lastIndex;
  }

  /** The next character that is not white space; empty at the end. */
  #peek(): string {
    for (;;) {
      const mark = this.#text.charAt(this.#at);
      if (mark !== " " && mark !== "\n" && mark !== "\t" && mark !== "\r") return mark;
      this.#at++;
    }
  }

  #take(mark: string): boolean {
    if (this.#peek() !== mark) return false;
    this.#at++;
    return true;
  }

  #expect(mark: string): void {
    if (!this.#take(mark)) throw this.#unexpected();
  }

  #unexpected(): Undecodable {
    const what = this.#at >= this.#text.length ? "it ends too early" : `unexpected text at character ${this.#at}`;
    return new Undecodable(`is not JSON: ${what}`);
  }
}

const INTEGER = /^(?:0|-?[1-9]\d*)$/;
/** So many digits cannot exceed what a double holds exactly. */
const SHORT_INTEGER = /^-?\d{1,15}$/;
const PARTS = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** Whether the JSON number `text` is the integer `value` and no other number. */
function isExactly(text: string, value: number): boolean {
  if (SHORT_INTEGER.test(text)) return true;
  if (!isExactInteger(value)) return false;
  const [, whole = "", fraction = "", exponent = "0"] = PARTS.exec(text) ?? [];
  const digits = withoutOuterZeros(whole + fraction);
  if (digits.text === "") return value === 0;
  const zeros = Number(exponent) - fraction.length + digits.zerosAfter;
  return zeros >= 0 && zeros <= 16 && digits.text + "0".repeat(zeros) === String(Math.abs(value));
}

/** Counted by hand: a pattern for zeros at the end takes quadratic time for many zeros that are not there. */
function withoutOuterZeros(digits: string): { readonly text: string; readonly zerosAfter: number } {
  let [start, end] = [0, digits.length];
  while (digits.charAt(start) === "0") start++;
  while (end > start && digits.charAt(end - 1) === "0") end--;
  return { text: digits.slice(start, end), zerosAfter: digits.length - end };
}

function excerpt(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 40)}…`;
}
