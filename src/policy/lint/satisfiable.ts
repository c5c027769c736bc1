import type { Expr } from "../cel/scope.ts";
import type { Constants } from "../constants.ts";
import { callOf, hasPathOf, textOf, valueOf } from "./expr.ts";
import { type Fact, Facts } from "./facts.ts";
import type { Logic } from "./logic.ts";
import { readsOf, statementOf } from "./predicate.ts";

/** Why something can never be true. */
export interface Impossible {
  /** Where it shows. */
  readonly expr: Expr;
  /** As in `payload.amount < 50 contradicts payload.amount > 100`. */
  readonly why: string;
  /** What it contradicts lies outside the condition: the rule's tools or agents. */
  readonly outside: boolean;
  /** The expression contradicts itself, whatever stands beside it. */
  readonly alone: boolean;
}

/** More steps than any sensible condition takes; what is not found out by then counts as possible. */
const MAX_STEPS = 2_000;

/** What is known beforehand: of `tool` and `agent.id`. */
export type Known = ReadonlyMap<string, readonly Fact[]>;

/** Looks for contradictions in one condition. What it finds is certain. */
export class Satisfiability {
  readonly #constants: Constants;
  readonly #known: Known;
  #steps = 0;

  constructor(constants: Constants, known: Known) {
    this.#constants = constants;
    this.#known = known;
  }

  /** Why not all of `parts` can hold together, or null. */
  impossible(parts: readonly Logic[], earlier: World = new World()): Impossible | null {
    const world = earlier.copy();
    const choices: (Logic & { kind: "any" })[] = [];
    const elements: (Logic & { kind: "some" })[] = [];
    for (const part of parts.flatMap(flatten)) {
      if (++this.#steps > MAX_STEPS) return null;
      if (part.kind === "any") choices.push(part);
      else if (part.kind === "some") elements.push(part);
      const found = this.#add(part, world);
      if (found !== null) return found;
    }
    for (const { body } of elements) {
      const found = this.impossible([body], world);
      if (found !== null) return found;
    }
    const [choice, ...others] = choices;
    return choice === undefined ? null : this.#noChoice(choice, others, world);
  }

  /** What is known where all of `parts` hold that leave no choice. */
  worldOf(parts: readonly Logic[], earlier: World): World {
    const world = earlier.copy();
    for (const part of parts.flatMap(flatten)) this.#add(part, world);
    return world;
  }

  #noChoice({ parts }: Logic & { kind: "any" }, others: readonly Logic[], world: World): Impossible | null {
    let first: Impossible | null = null;
    for (const part of parts) {
      const found = this.impossible([part, ...others], world);
      if (found === null) return null;
      first ??= found;
    }
    return first;
  }

  #add(part: Logic, world: World): Impossible | null {
    if (part.kind === "some" || part.kind === "every") return this.#absent(part.range, world);
    if (part.kind !== "atom") return null;
    const { expr, wanted } = part;
    const value = valueOf(expr, this.#constants);
    if (typeof value === "boolean" && value !== wanted) return alone(expr, `it is ${value}`);
    const missing = this.#absent(expr, world);
    if (missing !== null) return missing;
    const path = hasPathOf(expr);
    if (path !== null && !wanted) {
      world.absent.set(path, `!${textOf(expr)}`);
      const read = [...world.reads].find(([other]) => isWithin(other, path));
      if (read !== undefined) return beside(expr, `!${textOf(expr)}`, read[1]);
    }
    const says = wanted ? textOf(expr) : negated(expr);
    for (const read of readsOf(expr)) world.reads.set(read, says);
    return this.#contradiction(expr, wanted, says, world);
  }

  #contradiction(expr: Expr, wanted: boolean, says: string, world: World): Impossible | null {
    const { about, predicate } = statementOf(expr, wanted, this.#constants);
    const key = textOf(about);
    const known = this.#known.get(key) ?? [];
    const facts = (
      world.facts.get(key) ?? new Facts([...known, ...this.#implied(about)], /^(size|int)\(/.test(key))
    ).with({
      predicate,
      says,
      source: "condition",
    });
    world.facts.set(key, facts);
    const found = facts.contradiction();
    if (found === null) return null;
    if (found.second === null) return alone(expr, `${says} looks in an empty list`);
    const { says: other, source } = found.second;
    if (source === "nature") return alone(expr, `${says}, but ${other}`);
    return { expr, why: `${says} contradicts ${other}`, outside: source === "rule", alone: false };
  }

  /** What holds of a value because of how it is made. */
  #implied(about: Expr): Fact[] {
    const value = valueOf(about, this.#constants);
    if (typeof value === "string" || typeof value === "number") {
      return [{ predicate: { kind: "among", values: [value] }, says: "that is another value", source: "nature" }];
    }
    switch (callOf(about)?.function) {
      case "lowerAscii":
      case "getHostname":
      case "getScheme":
        return [
          {
            predicate: { kind: "case", lower: true },
            says: `${callOf(about)?.function}() gives no capitals`,
            source: "nature",
          },
        ];
      case "upperAscii":
        return [
          { predicate: { kind: "case", lower: false }, says: "upperAscii() gives capitals alone", source: "nature" },
        ];
      case "size":
        return [
          {
            predicate: { kind: "order", bound: 0, above: true, open: false },
            says: "size() is never negative",
            source: "nature",
          },
        ];
      case undefined:
      default:
        return [];
    }
  }

  #absent(expr: Expr, world: World): Impossible | null {
    for (const read of readsOf(expr)) {
      for (const [path, says] of world.absent) if (isWithin(read, path)) return beside(expr, textOf(expr), says);
    }
    return null;
  }
}

/** What a part of a condition can rely on: all that has to hold beside it. */
export class World {
  readonly facts: Map<string, Facts>;
  /** Fields that are not there, with what says so. */
  readonly absent: Map<string, string>;
  /** Fields that have to be there, with what reads them. */
  readonly reads: Map<string, string>;

  constructor(other?: World) {
    this.facts = new Map(other?.facts);
    this.absent = new Map(other?.absent);
    this.reads = new Map(other?.reads);
  }

  copy(): World {
    return new World(this);
  }
}

function flatten(part: Logic): readonly Logic[] {
  return part.kind === "all" ? part.parts.flatMap(flatten) : [part];
}

function negated(expr: Expr): string {
  const text = textOf(expr);
  return / /.test(text) ? `!(${text})` : `!${text}`;
}

function isWithin(path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}.`) || path.startsWith(`${parent}[`);
}

function alone(expr: Expr, why: string): Impossible {
  return { expr, why, outside: false, alone: true };
}

function beside(expr: Expr, says: string, other: string): Impossible {
  return { expr, why: `${says} contradicts ${other}`, outside: false, alone: false };
}
