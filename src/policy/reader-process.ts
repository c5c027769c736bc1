import { existsSync, watch } from "node:fs";
import { failpoint } from "../core/failpoint.ts";
import { fingerprintOf, readPolicyDirectory } from "./directory.ts";
import type { ReaderMessage, ReaderRequest } from "./reader.ts";

/** The process behind `PolicyReader`: `reader-process DIR [follow]`. Reads when it is asked to, and says when something changed. */
const [dir = "", follow] = process.argv.slice(2);

// They are meant for the process that asks, which ends this one.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
process.on("disconnect", () => process.exit());
process.on("message", (want: ReaderRequest) => {
  if (want === "existence") return send({ exists: existsSync(dir) });
  failpoint("policy-reading");
  if (want === "fingerprint") send({ fingerprint: fingerprintOf(dir) });
  else send({ directory: readPolicyDirectory(dir, want === "rules and tests") });
});

if (follow !== undefined) {
  try {
    const changed = (): void => send("changed");
    watch(dir, { persistent: false }, changed).on("error", changed);
  } catch {
    // The system has no watches left, or the file system does not support them: the service also polls.
  }
}

function send(message: ReaderMessage): void {
  process.send?.(message);
}
