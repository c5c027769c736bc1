import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";

/** The parts of src/, lowest first. A part may import from lower layers, from itself, and where it says so from siblings. */
const LAYERS: readonly (readonly string[])[] = [
  ["core", "package-root.ts"],
  ["config.ts"],
  ["keys"],
  ["policy", "idempotency", "audit", "breaker", "bypass", "review", "authn", "webhook"],
  ["authorize", "guard", "admin"],
  ["store"],
  ["server", "sidecar", "client", "conformance", "cli"],
  ["main.ts"],
];
/**
 * Siblings of one layer that may see each other: the guard holds a request to what Authorize would refuse, and SyncGuard reads
 * journals as guards write them; commands run what they start.
 */
const SIBLINGS_MAY = new Set([
  "authorize → guard",
  "guard → authorize",
  "sidecar → server",
  "sidecar → client",
  "cli → server",
  "cli → sidecar",
  "cli → client",
  "cli → conformance",
]);
/** Who may know the generated code. */
const MAY_IMPORT_GEN = new Set(["server", "client", "guard", "sidecar", "conformance", "cli"]);

interface Import {
  readonly file: string;
  readonly target: string;
}

const root = join(import.meta.dirname, "../src");
const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
const imports: Import[] = files.flatMap((file) =>
  [...readFileSync(join(root, file), "utf8").matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => ({
    file,
    target: match[1] as string,
  })),
);
const own = imports.filter(({ target }) => target.startsWith("."));

const partOf = (path: string): string => path.split("/")[0] as string;
const targetPart = ({ file, target }: Import): string => partOf(relative(root, join(root, dirname(file), target)));
const layerOf = (part: string): number => LAYERS.findIndex((layer) => layer.includes(part));

describe("the direction of imports", () => {
  test("every part of src/ has a layer", () => {
    expect(files.map(partOf).filter((part) => layerOf(part) < 0)).toEqual([]);
  });

  test("nothing imports from a layer above, or from a sibling", () => {
    const wrong = own.filter((one) => {
      const [from, to] = [partOf(one.file), targetPart(one)];
      if (from === to || to === ".." || layerOf(from) === 0) return false;
      if (layerOf(to) < layerOf(from)) return false;
      return !SIBLINGS_MAY.has(`${from} → ${to}`);
    });
    expect(wrong).toEqual([]);
  });

  test("the vocabulary imports no part", () => {
    const wrong = own.filter((one) => layerOf(partOf(one.file)) === 0 && layerOf(targetPart(one)) > 0);
    expect(wrong).toEqual([]);
    expect(imports.filter(({ file }) => file === "core/decision.ts")).toEqual([]);
  });

  test("only the outer parts know the generated code", () => {
    const wrong = own.filter(({ file, target }) => target.includes("/gen/") && !MAY_IMPORT_GEN.has(partOf(file)));
    expect(wrong).toEqual([]);
  });

  test("only store/ and files named after a store touch SQL or Redis", () => {
    const drivers = new Set(["pg", "ioredis", "@electric-sql/pglite", "node:sqlite"]);
    const wrong = imports.filter(
      ({ file, target }) => drivers.has(target) && partOf(file) !== "store" && !/redis|lock/.test(file),
    );
    expect(wrong).toEqual([]);
  });

  test("the wall clock is read in clock.ts alone", () => {
    const reads = files.filter((file) => /Date\.now\(\)|new Date\(\)/.test(readFileSync(join(root, file), "utf8")));
    expect(reads).toEqual(["core/clock.ts"]);
  });
});
