import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** The directory of the `datacrawl` package, which holds `bin`, `policies` and `dist`: above `src` or above `dist/src`. */
export const PACKAGE_ROOT: string = rootAbove(import.meta.dirname);

function rootAbove(directory: string): string {
  if (existsSync(join(directory, "bin/datacrawl.js"))) return directory;
  const parent = dirname(directory);
  if (parent === directory)
    throw new Error(`${import.meta.filename} is in no datacrawl package: bin/datacrawl.js is missing`);
  return rootAbove(parent);
}
