import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

/**
 * A Python that can import `modules`, or null: then the suite is skipped, which is said, and under CI is a failure.
 *
 * @param packages what to install to have one
 */
export function findPython(modules: string, packages: string): string | null {
  const candidates = [process.env["TEST_PYTHON"], resolve(".venv/bin/python"), "python3"];
  const found = candidates.find(
    (path) => path !== undefined && spawnSync(path, ["-c", `import ${modules}`]).status === 0,
  );
  if (found !== undefined) return found;
  const missing = `no Python with ${packages} found: python3 -m venv .venv && .venv/bin/pip install ${packages} (or set TEST_PYTHON)`;
  if (process.env["CI"] === "true") throw new Error(missing);
  process.stderr.write(`\nSKIPPED: ${missing}\n\n`);
  return null;
}
