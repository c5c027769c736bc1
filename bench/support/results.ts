import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const DOCUMENT = join(import.meta.dirname, "../../docs/benchmarks.md");
const RESULTS = join(import.meta.dirname, "../results");

/** Keeps a run's results. @returns the file's path */
export function keepResults(name: string, json: string): string {
  mkdirSync(RESULTS, { recursive: true });
  const file = join(RESULTS, name);
  writeFileSync(file, json);
  return file;
}

/** Replaces what stands in docs/benchmarks.md between `<!-- marker -->` and the next `<!-- end -->`. */
export function writeDocument(marker: string, text: string): void {
  const document = readFileSync(DOCUMENT, "utf8");
  const measured = new RegExp(`(?<=<!-- ${marker} -->\\n)[^]*?(?=<!-- end -->)`);
  if (!measured.test(document)) throw new Error(`${DOCUMENT} has lost its markers`);
  writeFileSync(
    DOCUMENT,
    document.replace(measured, () => `\n${text}\n\n`),
  );
}
