import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** The process that reads policies, in the middle of a copy: after the first read the rule that denies is there, too. `copying-child DIR`. */
await import("../../src/policy/reader-process.ts");
process.once("message", () =>
  writeFileSync(join(process.argv[2] ?? "", "deny.yaml"), "rules: [{id: no, tools: [t], effect: deny}]"),
);
