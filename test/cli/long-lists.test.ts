import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { record } from "../admin/decisions.ts";
import { type AdminFixture, openAdminFixture } from "../server/admin/admin-fixture.ts";
import { cli } from "../support/cli.ts";
import { query } from "../support/sql.ts";

const MANY = 1234;
/** Those that have one guard each, but for the last, which has all others. */
const AGENTS = 1000;
const uuid = (kind: number): string =>
  `('0195e0b2-000${kind}-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, timestamptz '2026-11-01' + n * interval '1 second'`;

/** One statement each: what so many calls would have left. */
const SEEDS = [
  `INSERT INTO agents SELECT 'agent-' || n, 'active', now(), n FROM generate_series(1, ${MANY}) n`,
  `INSERT INTO operators (name, role, password_hash) SELECT 'op-' || n, 'viewer', 'none' FROM generate_series(1, ${MANY}) n`,
  `INSERT INTO circuit_orders (grant_id, issued_at, agent_id, epoch, operator, reason, expires_at, token)
   SELECT ${uuid(1)}, 'agent-1', n, 'ann', 'r', '2027-01-01', 't' FROM generate_series(1, ${MANY}) n`,
  `INSERT INTO guard_circuits SELECT 'agent-' || least(n, ${AGENTS}), gen_random_uuid(),
     CASE WHEN n % 100 = 0 THEN '{}' ELSE '{"state":"CIRCUIT_STATE_CLOSED"}' END FROM generate_series(1, ${MANY}) n`,
  `INSERT INTO policy_bundles SELECT 'sha256:' || n, '[]', timestamptz '2026-11-01' + n * interval '1 second' FROM generate_series(1, ${MANY}) n`,
  `INSERT INTO audit_runs (run_id, started_at, scope, started_by, updated_at, state, progress)
   SELECT ${uuid(2)}, 'full', 'socket', now(), 'passed', $1 FROM generate_series(1, ${MANY}) n`,
  `INSERT INTO reviews (review_id, recorded_at, decision_id, agent_id, tool, idempotency_key, policy_version, request_digest,
     payload_digest, approvers, approval_for, opened_at, expires_at)
   SELECT ${uuid(3)}, gen_random_uuid(), 'agent-1', 't', 'k', 'p', '', '', 1, '1 hour', now(), now() + interval '1 day'
   FROM generate_series(1, ${MANY}) n`,
];

const PROGRESS = JSON.stringify({
  runner: "x",
  segments: [],
  strays: [],
  published: false,
  total: 0,
  rows: 0,
  problems: 0,
  findings: [],
  next: { epoch: 1, size: 0, rolling: 0, strayAfter: "" },
});

describe("lists of more than a page", () => {
  let fixture: AdminFixture;
  let env: Record<string, string>;
  beforeAll(async () => {
    fixture = await openAdminFixture();
    env = { DATACRAWL_DATA_DIR: dirname(fixture.socketPath) };
    for (const seed of SEEDS) await query(fixture.store.database, seed, seed.includes("$1") ? [PROGRESS] : []);
    await record(
      fixture.store as never,
      Array.from({ length: MANY }, () => ({})),
    );
  });
  afterAll(() => fixture.close());

  test.each([
    "agent list",
    "operator list",
    "bypass list --past",
    "bypass list agent-1 --past",
    "circuit list",
    "policy versions",
    "audit runs",
    "review list --limit 5000",
    "decision list --all",
    "decision list --limit 5000",
  ])("are shown whole, each once, as a table and as JSON: %s", async (command) => {
    const { stdout } = await cli([...command.split(" "), "--json"], env);
    const items = (JSON.parse(stdout) as object[]).map((item) => JSON.stringify(item));
    expect([items.length, new Set(items).size]).toEqual([MANY, MANY]);
    const table = await cli(command.split(" "), env);
    expect(table.stdout.trimEnd().split("\n")).toHaveLength(1 + MANY);
    expect(table.stderr).toBe("");
  });

  test("circuits are listed without those that are closed, and for one agent", async () => {
    const listed = async (command: string): Promise<object[]> => {
      const { stdout } = await cli([...command.split(" "), "--json"], env);
      return JSON.parse(stdout) as object[];
    };
    expect(await listed("circuit list --open")).toHaveLength(12);
    expect(await listed(`circuit list agent-${AGENTS}`)).toHaveLength(1 + MANY - AGENTS);
    expect(await listed(`circuit list agent-${AGENTS} --open`)).toHaveLength(3);
    expect(await listed("circuit list nobody")).toEqual([]);
  });

  test("an agent with more guards than are shown says so", async () => {
    const { stdout, stderr } = await cli(["circuit", "show", `agent-${AGENTS}`], env);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1 + 100);
    expect(stderr).toBe(`These are the 100 guards that reported last: datacrawl circuit list agent-${AGENTS}\n`);
  });

  test.each(["decision list", "review list"])("are cut only where it says so: %s", async (command) => {
    const { stdout, stderr } = await cli(command.split(" "), env);
    const rows = stdout.trimEnd().split("\n").length - 1;
    expect(rows).toBeLessThan(MANY);
    expect(stderr).toContain(`more than these ${rows}: --limit`);
  });
});
