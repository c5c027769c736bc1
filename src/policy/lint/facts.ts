import { compare, isInCase, type Predicate, satisfies, testText } from "./predicate.ts";

/** A predicate with what said it. */
export interface Fact {
  readonly predicate: Predicate;
  /** As in `payload.amount > 100`, or `tools: [stripe.refund]`. */
  readonly says: string;
  /** The condition itself, the rule's tools or agents, or how the value is made. */
  readonly source: "condition" | "rule" | "nature";
}

/** Two facts about one value that cannot both hold; `second` is null where none can satisfy `first` alone. */
export interface Contradiction {
  readonly first: Fact;
  readonly second: Fact | null;
}

type Kind = "string" | "number" | "boolean" | "null";

/**
 * What is known of one value. Facts are added until two cannot both hold. What it finds is certain; what it does not find may
 * still be impossible.
 */
export class Facts {
  readonly #facts: readonly Fact[];
  /** Whether the value is a whole number. */
  readonly #whole: boolean;

  constructor(facts: readonly Fact[], whole: boolean) {
    this.#facts = facts;
    this.#whole = whole;
  }

  with(fact: Fact): Facts {
    return new Facts([...this.#facts, fact], this.#whole);
  }

  /** Why the newest fact cannot hold beside the others, or null. */
  contradiction(): Contradiction | null {
    const newest = this.#facts.at(-1);
    if (newest === undefined) return null;
    if (newest.predicate.kind === "among" && newest.predicate.values.length === 0)
      return { first: newest, second: null };
    for (const other of this.#facts.slice(0, -1)) {
      if (this.#excludes(other.predicate, newest.predicate)) return { first: newest, second: other };
    }
    return this.#noneLeft(newest);
  }

  #excludes(a: Predicate, b: Predicate): boolean {
    const [left, right] = [kindOf(a), kindOf(b)];
    if (left !== null && right !== null && left !== right) return true;
    if (a.kind === "null" && b.kind === "null" && a.wanted !== b.wanted) return true;
    if (isWrongCase(a, b) || isWrongCase(b, a)) return true;
    if (a.kind === "order" && b.kind === "order" && a.above !== b.above) {
      return a.above ? this.#isEmpty(a, b) : this.#isEmpty(b, a);
    }
    return a.kind === "text" && b.kind === "text" && textsExclude(a, b);
  }

  /** Whether nothing lies between two bounds. */
  #isEmpty(low: Order, high: Order): boolean {
    const order = compare(low.bound, high.bound);
    if (order > 0 || (order === 0 && (low.open || high.open))) return true;
    if (!this.#whole || typeof low.bound !== "number" || typeof high.bound !== "number") return false;
    const first = low.open ? Math.floor(low.bound) + 1 : Math.ceil(low.bound);
    const last = high.open ? Math.ceil(high.bound) - 1 : Math.floor(high.bound);
    return first > last;
  }

  /** Whether every value that it could be is excluded by one fact or another. */
  #noneLeft(newest: Fact): Contradiction | null {
    const domains = this.#facts.filter(({ predicate }) => predicate.kind === "among");
    for (const domain of domains) {
      if (domain.predicate.kind !== "among") continue;
      const left = domain.predicate.values.filter((value) =>
        this.#facts.every(({ predicate }) => satisfies(value, predicate)),
      );
      if (left.length === 0)
        return domain === newest
          ? { first: newest, second: this.#opponent(domain) }
          : { first: newest, second: domain };
    }
    return null;
  }

  /** The fact that leaves least of a domain, to be named. */
  #opponent(domain: Fact): Fact | null {
    const { predicate } = domain;
    if (predicate.kind !== "among") return null;
    const others = this.#facts.filter((fact) => fact !== domain);
    const left = (fact: Fact) => predicate.values.filter((value) => satisfies(value, fact.predicate)).length;
    return others.toSorted((a, b) => left(a) - left(b))[0] ?? null;
  }
}

type Order = Extract<Predicate, { kind: "order" }>;

/** The one kind that a value must have for `predicate` to be decided at all; null if there is none, or more than one. */
function kindOf(predicate: Predicate): Kind | null {
  switch (predicate.kind) {
    case "among":
    case "not among": {
      const kinds = new Set(predicate.values.map((value) => typeof value as Kind));
      const [only] = kinds;
      return kinds.size === 1 && only !== undefined ? only : null;
    }
    case "order":
      return typeof predicate.bound as Kind;
    case "text":
    case "pattern":
    case "case":
      return "string";
    case "null":
      return predicate.wanted ? "null" : null;
  }
}

function isWrongCase(a: Predicate, b: Predicate): boolean {
  return a.kind === "case" && b.kind === "text" && b.wanted && !isInCase(b.text, a.lower);
}

type TextTest = Extract<Predicate, { kind: "text" }>;

function textsExclude(a: TextTest, b: TextTest): boolean {
  if (a.wanted && b.wanted) {
    if (a.method !== b.method || a.method === "contains") return false;
    return !testText(a.text, a.method, b.text) && !testText(b.text, b.method, a.text);
  }
  if (a.wanted === b.wanted) return false;
  const [holds, fails] = a.wanted ? [a, b] : [b, a];
  return (
    (holds.method === fails.method || fails.method === "contains") && testText(holds.text, fails.method, fails.text)
  );
}
