import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cleanEnv, tempDir } from "../support/service.ts";

const BIN = join(import.meta.dirname, "../../bin/datacrawl.js");

/** A package whose command is ours and whose program prints a line. */
function makePackage(): string {
  const root = tempDir();
  for (const folder of ["bin", "src"]) mkdirSync(join(root, folder));
  copyFileSync(BIN, join(root, "bin/datacrawl.js"));
  writeFileSync(join(root, "package.json"), '{"type": "module"}');
  writeFileSync(join(root, "src/main.ts"), 'const line: string = "ran"; console.log(line);');
  return root;
}

function start(root: string, temporary: string): string {
  const env = cleanEnv({ TMPDIR: temporary });
  delete env["NODE_COMPILE_CACHE"];
  const { stdout, stderr } = spawnSync(process.execPath, [join(root, "bin/datacrawl.js")], { env, encoding: "utf8" });
  return stdout + stderr;
}

test("a start keeps what it has compiled in the package, not where others can write", () => {
  const [root, temporary] = [makePackage(), tempDir()];
  expect(start(root, temporary)).toBe("ran\n");
  expect(readdirSync(join(root, "node_modules/.cache/datacrawl"))).not.toEqual([]);
  expect(readdirSync(temporary)).toEqual([]);
});

test("a start keeps nothing, and says nothing, where the package cannot be written to", () => {
  const [root, temporary] = [makePackage(), tempDir()];
  writeFileSync(join(root, "node_modules"), "");
  expect(start(root, temporary)).toBe("ran\n");
  expect(readdirSync(temporary)).toEqual([]);
  expect(existsSync(join(root, "node_modules/.cache"))).toBe(false);
});
