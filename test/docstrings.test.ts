import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { parseSync } from "vite";
import { expect, test } from "vitest";

/*
 * Users of a package read its docstrings in their editor: every export has one, and so has every member of an exported interface,
 * object type or class. A class need not repeat the docstrings of the interface that it implements.
 */

const ROOT = join(import.meta.dirname, "..");
const ENTRIES = [
  "clients/typescript/src/index.ts",
  "clients/typescript/src/testing.ts",
  "clients/typescript/src/integrations/ai-sdk.ts",
  "clients/typescript/src/integrations/claude-agent-sdk.ts",
  "clients/typescript/src/integrations/langchain.ts",
  "clients/typescript/src/integrations/mastra.ts",
  "clients/typescript/src/integrations/openai-agents.ts",
  "conformance/src/index.ts",
];

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [field: string]: unknown;
}
interface Source {
  readonly path: string;
  readonly body: readonly Node[];
  /** Whether a docstring stands directly before the node. */
  readonly documented: (node: Node) => boolean;
}
interface Declaration {
  readonly source: Source;
  readonly node: Node;
  /** The whole statement, with `export`. */
  readonly statement: Node;
}

const sources = new Map<string, Source>();

function read(path: string): Source {
  const known = sources.get(path);
  if (known !== undefined) return known;
  const text = readFileSync(join(ROOT, path), "utf8");
  const { program, comments, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path} is not understood: ${errors[0]?.message}`);
  const docs = comments.filter(({ type, value }) => type === "Block" && value.startsWith("*"));
  const documented = ({ start }: Node): boolean =>
    docs.some(({ end }) => end <= start && text.slice(end, start).trim() === "");
  const source = { path, body: program.body as unknown as Node[], documented };
  sources.set(path, source);
  return source;
}

function pathOf(specifier: string, importer: string): string {
  if (specifier.startsWith("@datacrawl/core/")) return `src/core/${specifier.slice("@datacrawl/core/".length)}.ts`;
  return relative(ROOT, join(ROOT, dirname(importer), specifier));
}

const nameOf = (node: unknown): string => {
  const { name, value } = (node ?? {}) as { readonly name?: string; readonly value?: string };
  return name ?? value ?? "";
};

/** What a file declares or passes on under `name`. */
function find(path: string, name: string): Declaration | null {
  const source = read(path);
  for (const statement of source.body) {
    const declaration = (statement["declaration"] as Node | null) ?? statement;
    const declared = (declaration["declarations"] as Node[] | undefined)?.[0] ?? declaration;
    if (declared["id"] && nameOf(declared["id"]) === name) return { source, node: declared, statement };
    if (statement.type === "ExportAllDeclaration") {
      const found = find(pathOf((statement["source"] as { readonly value: string }).value, path), name);
      if (found !== null) return found;
    }
    for (const one of (statement["specifiers"] as Node[] | undefined) ?? []) {
      if (statement.type !== "ExportNamedDeclaration" || nameOf(one["exported"]) !== name) continue;
      const from = statement["source"] as { readonly value: string } | null;
      if (from !== null) return find(pathOf(from.value, path), nameOf(one["local"]));
    }
  }
  return null;
}

function exportsOf(path: string): string[] {
  return read(path).body.flatMap((statement) => {
    if (statement.type !== "ExportNamedDeclaration") return [];
    const declaration = statement["declaration"] as Node | null;
    if (declaration === null) return (statement["specifiers"] as Node[]).map((one) => nameOf(one["exported"]));
    const declared = (declaration["declarations"] as Node[] | undefined)?.[0] ?? declaration;
    return [nameOf(declared["id"])];
  });
}

/** The members of an interface, an object type (also of those that a union holds) or a class that its users see. */
function membersOf({ node }: Declaration): Node[] {
  const inType = (type: Node): Node[] => {
    if (type.type === "TSTypeLiteral") return type["members"] as Node[];
    if (type.type === "TSUnionType") return (type["types"] as Node[]).flatMap(inType);
    return [];
  };
  const body = (node["body"] as Node | undefined)?.["body"] as Node[] | undefined;
  if (node.type === "TSInterfaceDeclaration") return (body ?? []).flatMap((one) => [one, ...nestedIn(one, inType)]);
  if (node.type === "TSTypeAliasDeclaration") return inType(node["typeAnnotation"] as Node);
  if (node.type !== "ClassDeclaration") return [];
  return (body ?? []).filter((one) => {
    const key = one["key"] as Node | undefined;
    const isHidden =
      key?.type === "PrivateIdentifier" || one["accessibility"] === "private" || one["override"] === true;
    return !isHidden && one["computed"] !== true && one["kind"] !== "constructor";
  });
}

function nestedIn(member: Node, inType: (type: Node) => Node[]): Node[] {
  const annotation = member["typeAnnotation"] as Node | null | undefined;
  return annotation ? inType(annotation["typeAnnotation"] as Node) : [];
}

/** The names that documented interfaces give to members of a class that implements them. */
function inherited({ source, node }: Declaration): Set<string> {
  const names = ((node["implements"] as Node[] | undefined) ?? []).flatMap((one) => {
    const name = nameOf(one["expression"]);
    const from = source.body.find(
      (statement) =>
        statement.type === "ImportDeclaration" &&
        (statement["specifiers"] as Node[]).some((specifier) => nameOf(specifier["local"]) === name),
    );
    const path = (from?.["source"] as { readonly value: string } | undefined)?.value;
    const declaration = path === undefined ? null : find(pathOf(path, source.path), name);
    return declaration === null ? [] : membersOf(declaration).map((member) => nameOf(member["key"]));
  });
  return new Set(names);
}

function undocumented(path: string): string[] {
  return exportsOf(path).flatMap((name) => {
    const declaration = find(path, name);
    if (declaration === null) return [`${name}: its declaration was not found`];
    const { source, statement } = declaration;
    const own = source.documented(statement) ? [] : [`${name} (${source.path})`];
    const known = inherited(declaration);
    const members = membersOf(declaration).filter(
      (member) => !source.documented(member) && !known.has(nameOf(member["key"])),
    );
    return [...own, ...members.map((member) => `${name}.${nameOf(member["key"])} (${source.path})`)];
  });
}

test.each(ENTRIES)("every export of %s, and every member of it, has a docstring", (path) => {
  expect(exportsOf(path).length).toBeGreaterThan(0);
  expect(undocumented(path)).toEqual([]);
});
