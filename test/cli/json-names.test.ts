import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { record } from "../admin/decisions.ts";
import { type AdminFixture, openAdminFixture } from "../server/admin/admin-fixture.ts";
import { cli } from "../support/cli.ts";
import { query } from "../support/sql.ts";

/** What other documents define, and what callers sent: their names are their own. */
const FOREIGN = new Set(["row", "payload", "values", "text", "source"]);

/** Names of members at any depth, but below {@link FOREIGN} ones. */
function namesOf(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(namesOf);
  return Object.entries(value).flatMap(([name, member]) => [name, ...(FOREIGN.has(name) ? [] : namesOf(member))]);
}

const SEEDS = [
  `INSERT INTO operators (name, role, password_hash) VALUES ('op', 'viewer', 'none')`,
  `INSERT INTO guard_circuits VALUES ('a', gen_random_uuid(), '{"state":"CIRCUIT_STATE_CLOSED"}')`,
  `INSERT INTO policy_bundles SELECT 'sha256:1', '[]', now()`,
];

describe("--json names everything in camelCase", () => {
  let fixture: AdminFixture;
  let env: Record<string, string>;
  let decisionId: string;
  beforeAll(async () => {
    fixture = await openAdminFixture();
    env = { DATACRAWL_DATA_DIR: dirname(fixture.socketPath) };
    await cli(["agent", "create", "a"], env);
    for (const seed of SEEDS) await query(fixture.store.database, seed, []);
    await record(fixture.store as never, [{}, {}]);
    await cli(["audit", "seal"], env);
    await cli(["audit", "verify"], env);
    const { stdout } = await cli(["decision", "list", "--json"], env);
    decisionId = (JSON.parse(stdout) as { decisionId: string }[])[0]?.decisionId ?? "";
  });
  afterAll(() => fixture.close());

  test.each([
    "overview",
    "agent list",
    "operator list",
    "circuit list",
    "circuit show a",
    "circuit force-open a --reason x",
    "circuit reset a --reason x",
    "policy versions",
    "policy check policies",
    "policy test policies",
    "policy explain --tool stripe.refund --payload {}",
    "decision list",
    "decision show ID",
    "audit runs",
    "audit verify",
    "audit status",
    "audit key",
    "audit seal",
    "conformance list --family control",
  ])("%s", async (line) => {
    const { stdout, stderr } = await cli([...line.replace("ID", decisionId).split(" "), "--json"], env);
    const names = namesOf(JSON.parse(stdout || stderr));
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter((name) => !/^[a-z][a-zA-Z0-9]*$/.test(name))).toEqual([]);
  });
});
