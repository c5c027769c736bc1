/**
 * The vectors that the clients of all languages are tested with, made from the TypeScript client: `node scripts/vectors.ts` writes them to
 * clients/vectors, whose README.md defines the formats. `test/clients/vectors.test.ts` makes them again and compares.
 */
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { canonicalJsonVectors } from "./vectors/canonical-json.ts";
import { circuitVectors } from "./vectors/circuit.ts";
import { derivedKeyVectors } from "./vectors/derived-key.ts";
import { requestVectors } from "./vectors/request.ts";

/** The text of each file by its name. */
export function vectorFiles(): ReadonlyMap<string, string> {
  return new Map([
    ["canonical-json.json", text(canonicalJsonVectors())],
    ["circuit.json", text(circuitVectors())],
    ["derived-key.json", text(derivedKeyVectors())],
    ["request.json", text(requestVectors())],
  ]);
}

/** One line for each item of a list, so that a change shows as the lines of its cases. */
function text(lists: { readonly [name: string]: readonly unknown[] | object }): string {
  const parts = Object.entries(lists).map(([name, list]) => {
    if (!Array.isArray(list)) return `  ${JSON.stringify(name)}: ${ascii(list)}`;
    return `  ${JSON.stringify(name)}: [\n${list.map((item) => `    ${ascii(item)}`).join(",\n")}\n  ]`;
  });
  return `{\n${parts.join(",\n")}\n}\n`;
}

/** In ASCII, so that no editor and no terminal changes or hides a character. */
function ascii(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const dir = resolve(import.meta.dirname, "../clients/vectors");
  for (const [name, contents] of vectorFiles()) writeFileSync(join(dir, name), contents);
}
