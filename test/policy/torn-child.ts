import { readPolicyDirectory } from "../../src/policy/directory.ts";

/** The process that reads policies, where files are replaced by older ones in the middle of its first read. `torn-child DIR`. */
let reads = 0;
process.on("message", () => {
  const directory = readPolicyDirectory(process.argv[2] ?? "", false);
  const torn = { ...directory, rules: directory.rules.slice(0, 1), unchanged: false };
  process.send?.({ directory: reads++ === 0 ? torn : directory });
});
