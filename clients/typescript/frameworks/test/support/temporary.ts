import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Temporary files of all tests are in one directory, as Claude Code may still be writing to its own when its test ends. */
export default function setup(): () => void {
  const directory = mkdtempSync(join(tmpdir(), "datacrawl-frameworks-"));
  process.env["TMPDIR"] = directory;
  return () => {
    try {
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    } catch {
      // It still writes: what is left is the system's to remove.
    }
  };
}
