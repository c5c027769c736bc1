#!/usr/bin/env -S node --max-semi-space-size=8 --max-old-space-size=512
// The heap's bounds: docs/operations.md, "Memory".
// Plain JavaScript for any Node, so that an old one says what it needs instead of a syntax error.
import { existsSync } from "node:fs";
import module from "node:module";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";

// `authorize --exit-2` and `hook HOST`: hosts that block a tool on status 2 alone run it on all others, so nothing but an allow may end in
// another: no wrong flag, no signal that can be caught, no error that nobody foresaw.
const [command, subject] = process.argv.slice(2);
const isHook = command === "hook" && !["install", "uninstall", "test", "--help", "-h"].includes(subject);
if (isHook || process.argv.includes("--exit-2")) {
  process.exitCode = 2;
  process.on("exit", (status) => {
    if (status !== 0) process.exitCode = 2;
  });
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(2));
}

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(`datacrawl needs Node.js 22.18 or newer; this is ${process.versions.node}.\n`);
  process.exit(1);
}
// How far the heap may grow between two collections. A process that stays should be small; a command should be done soon.
// Not in the first line: an engine that does not know the flag would not start.
const stays = ["serve", "sidecar", "mcp"].includes(process.argv[2] ?? "");
setFlagsFromString(`--heap-growing-percent=${stays ? 60 : 400}`);
// What Node compiles is kept for the next start, in our own directory: who can write to it can change the code itself. Node's default is the
// system's temporary directory, which others can write to. By the environment, so that our threads have it, too.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL("../node_modules/.cache/datacrawl", import.meta.url));
module.enableCompileCache();
// A checkout runs its sources (Node strips the types); the published package has only the built files.
const isQuick = command === "authorize" || command === "hook";
const source = isQuick ? new URL("../src/quick.ts", import.meta.url) : new URL("../src/main.ts", import.meta.url);
const built = new URL(isQuick ? "../dist/src/quick.js" : "../dist/src/main.js", import.meta.url);
await import((existsSync(source) ? source : built).href);
