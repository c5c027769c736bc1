import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";

/** The packages of this repository, with what each may import of the others. A package imports its own files by their paths. */
const PACKAGES = [
  { name: "@datacrawl/proto", sources: "gen", mayImport: [] },
  { name: "@datacrawl/core", sources: "src/core", mayImport: [] },
  { name: "@datacrawl/client", sources: "clients/typescript/src", mayImport: ["@datacrawl/core", "@datacrawl/proto"] },
  { name: "@datacrawl/conformance", sources: "conformance/src", mayImport: ["@datacrawl/core", "@datacrawl/proto"] },
  {
    name: "datacrawl",
    sources: "src",
    mayImport: ["@datacrawl/proto", "@datacrawl/client", "@datacrawl/conformance"],
  },
] as const;

/** The parts of the service, lowest first. A part imports from lower layers, from itself, and where it says so from siblings. */
const LAYERS: readonly (readonly string[])[] = [
  ["core", "package-root.ts"],
  ["config.ts"],
  ["keys"],
  ["policy", "idempotency", "audit", "review", "execution", "authn", "webhook"],
  ["store"],
  ["authorize", "admin"],
  ["server", "sidecar", "mcp", "cli"],
  ["main.ts", "quick.ts"],
];
/** Siblings of one layer that may see each other: commands run what they start, and a sidecar is a server. */
const SIBLINGS_MAY = new Set(["sidecar → server", "mcp → server", "cli → server", "cli → sidecar", "cli → mcp"]);
/** The parts of the service that may import each of the other packages. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "@datacrawl/proto": ["server", "sidecar", "cli"],
  "@datacrawl/client": ["sidecar", "mcp", "cli"],
  "@datacrawl/conformance": ["cli"],
};

interface Import {
  readonly package: string;
  /** From the root of the repository. */
  readonly file: string;
  readonly target: string;
}

const ROOT = join(import.meta.dirname, "..");
const IMPORT = /(?:^(?:import|export)\b[^;"]*?\bfrom |^import |\bimport\()"([^"]+)"/gm;

function sourcesIn(directory: string): string[] {
  const names = readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" });
  const isOwn = (name: string): boolean =>
    name.endsWith(".ts") &&
    !/(^|\/)(dist|node_modules)\//.test(name) &&
    !(directory === "src" && name.startsWith("core/"));
  return names.filter(isOwn).map((name) => join(directory, name));
}

/** The service's own core is a part of it as well as a package. */
const files = PACKAGES.flatMap(({ name, sources }) => sourcesIn(sources).map((file) => ({ package: name, file })));
const imports: readonly Import[] = files.flatMap(({ package: name, file }) =>
  [...readFileSync(join(ROOT, file), "utf8").matchAll(IMPORT)].map((match) => ({
    package: name,
    file,
    target: match[1] as string,
  })),
);
const nameOf = (target: string): string =>
  target
    .split("/")
    .slice(0, target.startsWith("@") ? 2 : 1)
    .join("/");
const isOurs = (target: string): boolean => target.startsWith("@datacrawl/");
const landsAt = ({ file, target }: Import): string => relative(ROOT, join(ROOT, dirname(file), target));

describe("the packages of the repository", () => {
  test("each imports only the packages that it may, and never the service", () => {
    const wrong = imports.filter((one) => {
      const { mayImport } = PACKAGES.find(({ name }) => name === one.package) ?? { mayImport: [] };
      return isOurs(one.target) && !(mayImport as readonly string[]).includes(nameOf(one.target));
    });
    expect(wrong).toEqual([]);
  });

  test("no import by path leaves its package, but the service's into its own core", () => {
    const wrong = imports.filter((one) => {
      if (!one.target.startsWith(".")) return false;
      const { sources } = PACKAGES.find(({ name }) => name === one.package) ?? { sources: "" };
      return !landsAt(one).startsWith(`${sources}/`);
    });
    expect(wrong).toEqual([]);
  });

  test("each declares what it imports", () => {
    const wrong = imports.filter(({ package: name, target }) => {
      if (target.startsWith(".") || target.startsWith("node:")) return false;
      const sources = PACKAGES.find((one) => one.name === name)?.sources ?? "";
      const dir =
        name === "datacrawl" ? "." : existsSync(join(ROOT, sources, "package.json")) ? sources : dirname(sources);
      const manifest = JSON.parse(readFileSync(join(ROOT, dir, "package.json"), "utf8"));
      const { dependencies, peerDependencies, devDependencies } = manifest;
      const declared = { ...dependencies, ...peerDependencies, ...(isOurs(target) && devDependencies) };
      return !Object.hasOwn(declared, nameOf(target));
    });
    expect(wrong).toEqual([]);
  });

  test("the client depends on one package; Redis' client, OpenTelemetry's API and the frameworks are optional", () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, "clients/typescript/package.json"), "utf8"));
    expect(Object.keys(manifest.dependencies)).toEqual(["@bufbuild/protobuf"]);
    expect(manifest.peerDependenciesMeta).toEqual({
      "@anthropic-ai/claude-agent-sdk": { optional: true },
      "@mastra/core": { optional: true },
      "@openai/agents": { optional: true },
      "@opentelemetry/api": { optional: true },
      ai: { optional: true },
      ioredis: { optional: true },
      langchain: { optional: true },
    });
  });
});

describe("the layers of the service", () => {
  const partOf = (path: string): string => path.split("/")[1] as string;
  const layerOf = (part: string): number => LAYERS.findIndex((layer) => layer.includes(part));
  const service = imports.filter(({ package: name }) => name === "datacrawl" || name === "@datacrawl/core");
  const own = service.filter(({ target }) => target.startsWith("."));

  test("every part of src/ has a layer", () => {
    const parts = files.filter(({ file }) => file.startsWith("src/")).map(({ file }) => partOf(file));
    expect([...new Set(parts)].filter((part) => layerOf(part) < 0)).toEqual([]);
  });

  test("nothing imports from a layer above, or from a sibling", () => {
    const wrong = own.filter((one) => {
      const [from, to] = [partOf(one.file), partOf(landsAt(one))];
      if (from === to || layerOf(to) < layerOf(from)) return false;
      return !SIBLINGS_MAY.has(`${from} → ${to}`);
    });
    expect(wrong).toEqual([]);
  });

  test("core imports no package, so that whoever shares it brings nothing along", () => {
    const wrong = imports.filter(({ file, target }) => file.startsWith("src/core/") && !/^(\.|node:)/.test(target));
    expect(wrong).toEqual([]);
  });

  test("the vocabulary of decisions imports nothing", () => {
    expect(imports.filter(({ file }) => file === "src/core/decision.ts")).toEqual([]);
  });

  test("only the outer parts know the other packages", () => {
    const wrong = service.filter(
      ({ file, target }) => isOurs(target) && !(MAY_IMPORT[nameOf(target)] ?? []).includes(partOf(file)),
    );
    expect(wrong).toEqual([]);
  });
});

describe("what is reached from few places", () => {
  test("only store/ and files named after a store or a lock touch SQL or Redis", () => {
    const drivers = new Set(["pg", "kysely", "ioredis", "@electric-sql/pglite", "node:sqlite"]);
    const wrong = imports.filter(
      ({ file, target }) => drivers.has(target) && !file.startsWith("src/store/") && !/redis|lock/.test(file),
    );
    expect(wrong).toEqual([]);
  });

  test("repositories are made in server/repositories.ts alone, but for the owner's, which a command opens", () => {
    const made = files.filter(
      ({ file }) =>
        !file.startsWith("src/store/") && /new Sql(?!Error)[A-Z]\w*\(/.test(readFileSync(join(ROOT, file), "utf8")),
    );
    expect(made.map(({ file }) => file).toSorted()).toEqual([
      "src/cli/audit/audit-retire.ts",
      "src/server/repositories.ts",
    ]);
  });

  test("the wall clock is read in core/clock.ts alone", () => {
    const reads = files.filter(({ file }) => /Date\.now\(\)|new Date\(\)/.test(readFileSync(join(ROOT, file), "utf8")));
    expect(reads.map(({ file }) => file)).toEqual(["src/core/clock.ts"]);
  });
});
