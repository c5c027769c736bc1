import { spawnSync } from "node:child_process";

/** What go.mod of the client asks for. */
const VERSION = [1, 26] as const;

/** A `go` that is new enough, or null: then the suite is skipped, which is said, and under CI is a failure. */
export function findGo(): string | null {
  // In the module: an older Go fetches the toolchain that go.mod asks for.
  const { stdout } = spawnSync("go", ["env", "GOVERSION"], { cwd: "clients/go", encoding: "utf8" });
  const [, major, minor] = /^go(\d+)\.(\d+)/.exec(stdout ?? "") ?? [];
  if (Number(major) === VERSION[0] && Number(minor) >= VERSION[1]) return "go";
  const missing = `no Go ${VERSION.join(".")} or later found, so the client for Go is not tested`;
  if (process.env["CI"] === "true") throw new Error(missing);
  process.stderr.write(`\nSKIPPED: ${missing}\n\n`);
  return null;
}
