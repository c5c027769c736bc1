import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const DOCUMENTS = [
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "README.md",
  "SECURITY.md",
  "clients/java/README.md",
  "clients/typescript/README.md",
  "clients/go/README.md",
  "clients/python/README.md",
  "conformance/README.md",
  ...["docs", "docs/clients", "docs/integrations"].flatMap((dir) =>
    readdirSync(join(ROOT, dir))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `${dir}/${name}`),
  ),
];
/** A path from the root of this repository, in a sentence or in code; what the build makes is not there yet. */
const PATH =
  /(?<![\w/@.:$-])(?:bin|bench|clients|conformance|dashboard|docs|examples|gen|proto|scripts|src|test)\/[\w./-]*\w\/?/g;
const LINK = /\]\((?!https?:)([^)\s]+)\)/g;

const textOf = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const pathsIn = (text: string): string[] => [...new Set(text.match(PATH))];

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsOf(path: string): string[] {
  const headings = [...textOf(path).matchAll(/^#+ (.+)$/gm)].map((match) => match[1] as string);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

describe.each(DOCUMENTS)("%s", (document) => {
  test("names only files and folders that exist", () => {
    // Links are relative to their document, and tested below.
    const made = "bench/results/";
    const wrong = pathsIn(textOf(document).replaceAll(LINK, "]")).filter(
      (path) => path !== made && !existsSync(join(ROOT, path)),
    );
    expect(wrong).toEqual([]);
  });

  test("has no link to a file or a heading that does not exist", () => {
    const wrong = [...textOf(document).matchAll(LINK)].filter(([, target = ""]) => {
      const [file = "", anchor] = target.split("#");
      const path = file === "" ? document : join(dirname(document), file);
      return !existsSync(join(ROOT, path)) || (anchor !== undefined && !anchorsOf(path).includes(anchor));
    });
    expect(wrong.map(([link]) => link)).toEqual([]);
  });
});

describe("ARCHITECTURE.md", () => {
  const sectionOf = (title: string): string => {
    const after = textOf("ARCHITECTURE.md").split(`\n## ${title}\n`)[1];
    if (after === undefined) throw new Error(`ARCHITECTURE.md has no section ${title}`);
    return after.split("\n## ")[0] as string;
  };

  test("explains at most 20 terms, each once", () => {
    const terms = sectionOf("Glossary")
      .split("\n")
      .filter((line) => line.startsWith("| ") && !line.startsWith("| term |"))
      .map((line) => (line.split("|")[1] as string).trim());
    expect(terms.length).toBeGreaterThan(0);
    expect(terms.length).toBeLessThanOrEqual(20);
    expect(new Set(terms).size).toBe(terms.length);
  });

  test("names the files of each change that a maintainer may be asked for", () => {
    const changes = sectionOf("How to change it").split("\n- ").slice(1);
    expect(changes.map((change) => /^\*\*(.+?)\*\*/.exec(change)?.[1])).toEqual([
      "A reason",
      "A column",
      "An RPC for operators",
      "A CEL function",
      "A case of the conformance kit",
      "A page of the dashboard",
      "An adapter for a framework",
      "Another store",
      "Another log format",
      "A command",
    ]);
    for (const change of changes) expect(pathsIn(change).length).toBeGreaterThan(1);
  });
});
