import { existsSync, mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./child.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/**
 * The `datacrawl` command as users get it: packed as for the registry and unpacked in `directory`, once, with this checkout's
 * dependencies. A checkout's own command runs the sources, which costs some 35 MiB for stripping their types.
 */
export async function installedCommand(directory: string): Promise<string> {
  const installed = join(directory, "package");
  if (!existsSync(installed)) {
    const packed = join(directory, "packed");
    mkdirSync(packed);
    await run({ name: "npm pack", file: "npm", args: ["pack", ROOT, "--pack-destination", packed] });
    const [archive] = readdirSync(packed);
    await run({ name: "tar", file: "tar", args: ["-xzf", join(packed, archive!), "-C", directory] });
    symlinkSync(join(ROOT, "node_modules"), join(installed, "node_modules"));
  }
  return join(installed, "bin", "datacrawl.js");
}
