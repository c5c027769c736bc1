import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ESTree, parseSync, Visitor } from "vite";
import { describe, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");

/** What is made of literals: a string, a template, or strings and others added up. */
interface Text {
  /** With `?` for what is no literal. */
  readonly text: string;
  /** What is no literal, as the source has it. */
  readonly values: readonly string[];
  /** Whether Kysely makes parameters of the values. */
  readonly tagged: boolean;
}

/** Statements. English begins sentences with some of the same words, but not in capitals. */
const SQL = [
  /^\s*(?:SELECT|WITH|MERGE|COPY|BEGIN|COMMIT|ROLLBACK|SET|GRANT|REVOKE|TRUNCATE|EXPLAIN|LOCK|ANALYZE|VACUUM)\b/,
  /\bselect\b[^.;]*\bfrom\b/i,
  /\binsert\s+into\b/i,
  /\bupdate\s+\S+\s+set\b/i,
  /\bdelete\s+from\s+[\w"?]/i,
  /\b(?:create|alter|drop|truncate|lock)\s+(?:table|index|role|schema|database|function|trigger)\b/i,
];
const isSql = ({ text }: Text): boolean => SQL.some((pattern) => pattern.test(text));

/** Constants: by our convention their names are in capitals. */
const CONSTANT = /^[A-Z][A-Z0-9_]*$/;
const isComposed = (text: Text): boolean => !text.tagged && !text.values.every((value) => CONSTANT.test(value));

/** Text that becomes SQL as it is. Each comes from our own source, never from a caller: types, rights, whole scripts. */
const RAW = new Set(["type", "rights", "text"]);

function textsIn(source: string): { texts: Text[]; raw: string[] } {
  const { program, errors } = parseSync("a.ts", source);
  if (errors.length > 0) throw new Error(`cannot parse: ${errors[0]?.message}`);
  const texts: Text[] = [];
  const raw: string[] = [];
  const seen = new Set<ESTree.Node>();
  const sourceOf = (node: ESTree.Node): string => source.slice(node.start, node.end);
  /** The parts of `node`; those that are no literals are strings in an array. */
  const partsOf = (node: ESTree.Node): (string | [string])[] => {
    seen.add(node);
    if (node.type === "Literal" && typeof node.value === "string") return [node.value];
    if (node.type === "BinaryExpression" && node.operator === "+")
      return [...partsOf(node.left), ...partsOf(node.right)];
    if (node.type !== "TemplateLiteral") return [[sourceOf(node)]];
    return node.quasis.flatMap(({ value }, index) => {
      const expression = node.expressions[index];
      return [value.cooked ?? value.raw, ...(expression === undefined ? [] : [[sourceOf(expression)] as [string]])];
    });
  };
  const add = (node: ESTree.Node, tagged: boolean): void => {
    if (seen.has(node)) return;
    const parts = partsOf(node);
    const text = parts.map((part) => (typeof part === "string" ? part : "?")).join("");
    texts.push({ text, values: parts.flatMap((part) => (typeof part === "string" ? [] : part)), tagged });
  };
  new Visitor({
    TaggedTemplateExpression: ({ tag, quasi }) => add(quasi, sourceOf(tag) === "sql"),
    TemplateLiteral: (node) => add(node, false),
    BinaryExpression: (node) => add(node, false),
    Literal: (node) => add(node, false),
    CallExpression: ({ callee, arguments: [argument] }) => {
      if (sourceOf(callee) === "sql.raw" && argument !== undefined) raw.push(sourceOf(argument));
    },
  }).visit(program);
  return { texts, raw };
}

const outside = (source: string): string[] =>
  textsIn(source)
    .texts.filter(isSql)
    .map(({ text }) => text);
const inside = (source: string): string[] => {
  const { texts, raw } = textsIn(source);
  const composed = texts.filter((text) => isSql(text) && isComposed(text)).map(({ text }) => text);
  return [...composed, ...raw.filter((argument) => !RAW.has(argument) && !argument.startsWith('"'))];
};

const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".ts"),
);
const found = (isStore: boolean, rule: (source: string) => string[]): string[] =>
  files
    .filter((file) => file.startsWith("store/") === isStore)
    .flatMap((file) => rule(readFileSync(join(ROOT, "src", file), "utf8")).map((text) => `${file}: ${text}`));

describe("SQL in the service", () => {
  test("is in src/store alone", () => {
    expect(found(false, outside)).toEqual([]);
  });

  test("has its values as parameters, not in its text", () => {
    expect(found(true, inside)).toEqual([]);
  });

  test("is found where it is", () => {
    expect(found(true, outside).length).toBeGreaterThan(50);
  });

  test.each([
    ["a string", 'run("SELECT x FROM t")'],
    ["small letters", "run('select x from t where y')"],
    ["a template", "run(`SELECT ${columns}`)"],
    ["several lines", "run(`\n  insert\n  into t values (1)`)"],
    ["strings added up", 'run("select " + columns + " from t")'],
    ["Kysely's tag", "sql`DELETE FROM ${table}`.execute(db)"],
    ["a change", "run(`update ${table} set x = 1`)"],
    ["a script", 'run("drop table t")'],
    ["an argument of a type", "run<Row>(sql<Row>`SELECT 1`)"],
  ])("is found elsewhere as %s", (_, source) => {
    expect(outside(source)).not.toEqual([]);
  });

  test.each([
    'say("Select a tool. Delete it from the list.")',
    'say("Create an agent, or set its key; lock the screen")',
    "say(`update ${count} agents`) // SELECT x FROM t",
    '/* INSERT INTO t */ type Row = { from: "select" }',
  ])("is not seen in %s", (source) => {
    expect(outside(source)).toEqual([]);
  });

  test.each([
    ["a value in a template", "run(`SELECT x FROM t WHERE id = '${id}'`)"],
    ["a value that is added", 'run("SELECT x FROM t WHERE id = " + id)'],
    ["a value in raw SQL", "sql`SELECT ${sql.raw(column)}`"],
    ["raw SQL that is composed", "sql.raw(`x = ${id}`)"],
  ])("is refused in the store with %s", (_, source) => {
    expect(inside(source)).not.toEqual([]);
  });

  test.each([
    "sql`SELECT x FROM t WHERE id = ${id} AND ${sql.ref(column)} = ${1 + n}`",
    "run(`SET statement_timeout = ${TIMEOUT_MS}`)",
    'sql.raw("now()")',
  ])("may be in the store as %s", (source) => {
    expect(inside(source)).toEqual([]);
  });
});
