import { isScalar, isSeq, type Node } from "yaml";
import { describe, type Entry, type Problem, type YamlFile } from "./yaml.ts";

/** What a constant may stand for: as in a payload, numbers are doubles. */
export type ConstantValue = Scalar | readonly Scalar[];
type Scalar = string | number | boolean;

/** A value that rules share by its name: `constants.inside`. */
export interface Constant {
  readonly name: string;
  readonly value: ConstantValue;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** The constants of a bundle, by name. */
export type Constants = ReadonlyMap<string, Constant>;

export const NO_CONSTANTS: Constants = new Map();

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
/** A rule that looks through a list pays for each element. */
const MAX_ELEMENTS = 10_000;

/** Reads a file's `constants`. What has problems is left out. */
export function readConstants(file: YamlFile, entry: Entry): Constant[] {
  return (file.members(entry, "constants") ?? []).flatMap(({ key, value }) => {
    const name = isScalar(key) && typeof key.value === "string" ? key.value : null;
    if (name === null || !NAME.test(name)) {
      file.refuse(key, `constant ${describe(key)}; write a name of letters, digits and "_", at most 64`);
      return [];
    }
    const read = readValue(file, value, `constant ${name}`, key);
    return read === null ? [] : [{ name, value: read, file: file.path, ...file.placeWithin(key, 0) }];
  });
}

/** The constants of all files by name, and a problem for each name that stands twice. */
export function joinConstants(read: readonly Constant[]): { constants: Constants; problems: Problem[] } {
  const constants = new Map<string, Constant>();
  const problems: Problem[] = [];
  for (const constant of read) {
    const { name, file, line, column } = constant;
    const first = constants.get(name);
    if (first === undefined) constants.set(name, constant);
    else {
      const message = `constant ${name} is already used at ${first.file}:${first.line}; write another name`;
      problems.push({ file, line, column, message });
    }
  }
  return { constants, problems };
}

function readValue(file: YamlFile, node: Node | null, what: string, key: Node): ConstantValue | null {
  if (!isSeq<Node>(node)) return readScalar(file, node, what, key);
  if (node.items.length === 0 || node.items.length > MAX_ELEMENTS || node.anchor !== undefined) {
    file.refuse(
      node,
      `${what} is a list of ${node.items.length}; write 1 to ${MAX_ELEMENTS} elements, without an anchor`,
    );
    return null;
  }
  const scalars = node.items.map((item) => readScalar(file, item, `an element of ${what}`, node));
  return scalars.some((scalar) => scalar === null) ? null : scalars.filter((scalar) => scalar !== null);
}

function readScalar(file: YamlFile, node: Node | null, what: string, fallback: Node): Scalar | null {
  const value = isScalar(node) && node.anchor === undefined ? node.value : undefined;
  if (typeof value === "string" || typeof value === "boolean") return value;
  // A larger integer would have been rounded already.
  if (typeof value === "number" && Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
  file.refuse(
    node ?? fallback,
    `${what} is ${describe(node)}; write a text, a number up to 2^53, true or false, or a list of them`,
  );
  return null;
}
