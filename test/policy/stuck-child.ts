import { existsSync, openSync } from "node:fs";
import { join } from "node:path";

/**
 * The process that reads policies, on a file system that hangs as long as there is a file `pipe` in the directory: opening a
 * pipe that nobody writes to never returns. `stuck-child DIR`.
 */
const pipe = join(process.argv[2] ?? "", "pipe");
process.on("message", () => {
  if (existsSync(pipe)) openSync(pipe, "r");
});
await import("../../src/policy/reader-process.ts");
