// @module-tag full
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { totpCode } from "../../src/authn/totp.ts";
import { base32Decode } from "../support/base32.ts";
import { cli, type CliResult } from "../support/cli.ts";
import { waitUntil } from "../support/net.ts";
import { makeDatabase } from "../support/postgres.ts";
import { findPython } from "../support/python.ts";
import { isSigned, Receiver } from "../support/receiver.ts";
import { ask, discard, type Env, runCli, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import { type ExpectedCall, UpgradeFixture } from "../support/upgrade.ts";

const fixture = new UpgradeFixture("f241b80");
const { expected } = fixture;
const server = inject("postgresUrl");
const idOf = (label: string): string => expected.calls[label]?.decisionId as string;

/** What must be in the database afterwards as it was before. */
const KEPT: Readonly<Record<string, string>> = {
  agents: "agent_id, state",
  agent_keys: "key_id, agent_id, encode(secret_hash, 'hex'), revoked_at::text",
  operators: "name, role, password_hash, removed_at::text",
  idempotency_claims:
    "agent_id, idempotency_key, encode(variant, 'hex'), encode(request_digest, 'hex'), decision_id::text",
  audit_decisions: "decision_id::text, recorded_at::text, encode(hash, 'hex')",
  audit_events: "event_id::text, recorded_at::text, encode(hash, 'hex')",
  audit_payloads: "decision_id::text, canonical",
  audit_epochs: "epoch, acknowledgement",
  audit_seals: "row_id::text, epoch, seq::text, encode(leaf_hash, 'hex')",
  audit_nodes: "epoch, level, idx::text, encode(hash, 'hex')",
  audit_checkpoints: "epoch, size::text, signed_note",
  audit_retired: "month::text, export_sha256",
  reviews: "review_id::text, decision_id::text",
  review_answers: "review_id::text, operator",
  guard_records: "agent_id, encode(record_hash, 'hex'), decision_id::text",
  circuit_orders: "agent_id, epoch::text, token",
  circuit_commands: "agent_id, epoch::text, kind",
  policy_bundles: "version, files",
  service_keys: "name, fingerprint",
};

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(text)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

function firstLine(path: string): string {
  return readFileSync(path, "utf8").split("\n")[0] as string;
}

/** The rows of a table, each as one text. */
async function rowsOf(url: string, table: string): Promise<string[]> {
  const rows = await query(url, `SELECT jsonb_build_array(${KEPT[table]})::text AS row FROM ${table}`);
  return rows.map(({ row }) => row as string);
}

/** Asks every call of the old version again, and holds the answers to what it answered then. */
async function expectReplays(urlFor: (n: number) => string, calls: readonly [string, ExpectedCall][]): Promise<void> {
  for (const [n, [label, { agent, request, answer, decisionId }]] of calls.entries()) {
    const { body } = await ask(urlFor(n), expected.agentKeys[agent] as string, request);
    const { decision, reason, decisionId: id, replayed } = body;
    expect({ label, decision, reason, id, replayed }).toEqual({ label, ...answer, id: decisionId, replayed: true });
  }
}

const isOfFrozenAgent = ([, { agent }]: readonly [string, ExpectedCall]): boolean => agent === "sales-1";
const callsOf = (frozen: boolean) => Object.entries(expected.calls).filter((call) => isOfFrozenAgent(call) === frozen);

describe.skipIf(server === null)("a Postgres database that version f241b80 made", () => {
  const before = new Map<string, string[]>();
  const receiver = new Receiver();
  const directory = mkdtempSync(join(tmpdir(), "datacrawl-upgrade-"));
  let superUrl: string;
  let env: Env;
  let services: ServiceProcess[] = [];

  beforeAll(async () => {
    await receiver.open();
    ({ env, superUrl } = await fixture.restore(server as string));
    for (const table of Object.keys(KEPT)) before.set(table, await rowsOf(superUrl, table));
    const shared = { ...env, DATACRAWL_WEBHOOK_URL: receiver.url };
    services = await Promise.all([1, 2, 3].map(() => startService(shared)));
    env = { ...env, DATACRAWL_DATA_DIR: serviceAt(0).dataDir };
  });
  afterAll(async () => {
    await Promise.all(services.map(discard));
    await receiver.close();
    rmSync(directory, { recursive: true });
  });

  const serviceAt = (n: number): ServiceProcess => services[n % services.length] as ServiceProcess;
  const urlFor = (n: number): string => serviceAt(n).connectUrl;
  const run = (...args: string[]): Promise<CliResult> => cli(args, env);
  const json = async <Value>(...args: string[]): Promise<Value> => {
    const { status, stdout, stderr } = await run(...args, "--json");
    expect({ args, status, stderr }).toMatchObject({ status: 0 });
    return JSON.parse(stdout) as Value;
  };
  const callAdmin = async (service: string, request: object, cookie = ""): Promise<Response> =>
    await fetch(`${serviceAt(0).adminUrl}/datacrawl.authz.v1.${service}`, {
      method: "POST",
      headers: { "content-type": "application/json", cookie },
      body: JSON.stringify(request),
    });
  const signIn = async (name: string, totpCode = ""): Promise<string> => {
    const response = await callAdmin("SessionService/SignIn", { name, password: expected.password, totpCode });
    return (response.headers.getSetCookie()[0] ?? "").split(";")[0] as string;
  };

  test("is taken over by three replicas that start at once, and keeps every row", async () => {
    for (const [table, rows] of before) {
      expect(rows, table).not.toEqual([]);
      expect(await rowsOf(superUrl, table), table).toEqual(expect.arrayContaining(rows));
    }
  });

  test("is then up to date: migrating again changes nothing, and a replica without the owner's login starts", async () => {
    expect(await run("migrate")).toMatchObject({ status: 0 });
    const withoutOwner = Object.fromEntries(
      Object.entries(env).filter(([name]) => name !== "DATABASE_OWNER_URL" && name !== "DATACRAWL_DATA_DIR"),
    );
    await discard(await startService(withoutOwner));
  });

  test("has the indexes of this version on each month, those with rows and those to come", async () => {
    const partitions = `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit_decisions'::regclass`;
    const months = (await query(superUrl, partitions)).map(({ name }) => String(name));
    expect(months.length).toBeGreaterThan(3);
    const valid = `SELECT i.indrelid::regclass::text AS "table", pg_get_indexdef(i.indexrelid) AS definition
      FROM pg_index i JOIN pg_inherits p ON p.inhrelid = i.indexrelid WHERE i.indisvalid`;
    const indexes = await query(superUrl, valid);
    for (const column of ["session_id", "principal"]) {
      const withIt = indexes.filter(({ definition }) => String(definition).includes(`(${column}, recorded_at)`));
      expect(withIt.map(({ table }) => String(table)).toSorted(), column).toEqual(months.toSorted());
    }
  });

  test("answers each key of the last day with the decision and the id that it was answered with", async () => {
    await expectReplays(urlFor, callsOf(false));
  });

  test("denies an old key to another request, also one that the old version did not see", async () => {
    const { request } = expected.calls["allowed"] as ExpectedCall;
    const { body } = await ask(urlFor(0), expected.agentKeys["billing-1"] as string, {
      ...request,
      payload: { amount: 52, currency: "EUR" },
    });
    expect(body).toMatchObject({ decision: "DECISION_DENY", reason: "REASON_IDEMPOTENCY_KEY_REUSED" });
    expect(body["decisionId"]).not.toBe(idOf("allowed"));
  });

  test("keeps a frozen agent frozen and revoked credentials refused; unfrozen, the agent has its old decision", async () => {
    const calls = callsOf(true);
    expect(calls).toHaveLength(1);
    const request = calls[0]?.[1].request as Record<string, unknown>;
    const frozen = await ask(urlFor(0), expected.agentKeys["sales-1"] as string, request);
    expect(frozen.body).toMatchObject({ decision: "DECISION_DENY", reason: "REASON_AGENT_FROZEN" });
    for (const name of ["old-bot", "spare-1, revoked key"])
      expect((await ask(urlFor(1), expected.agentKeys[name] as string, request)).status).toBe(401);
    expect(await run("agent", "unfreeze", "sales-1", "--reason", "it behaves")).toMatchObject({ status: 0 });
    const isUnfrozen = async (): Promise<boolean> =>
      (await ask(urlFor(2), expected.agentKeys["sales-1"] as string, request)).body["decision"] === "DECISION_ALLOW";
    await waitUntil(isUnfrozen, 20_000, "the agent stays frozen");
    await expectReplays(() => urlFor(2), calls);
  });

  test("has a trail in which nothing is wrong, with both epochs, the retired month and the rows that had no seal", async () => {
    const sealed = await run("audit", "seal");
    expect(sealed).toMatchObject({ status: 0, stdout: expect.stringContaining("epoch 2") as string });
    const { status, stdout } = await run("audit", "verify", "--full");
    expect(stdout).toContain("nothing is wrong");
    expect(status).toBe(0);
    expect((await run("audit", "status")).stdout).not.toContain("PROBLEM");
    const seals = await query(superUrl, "SELECT row_id::text AS id FROM audit_seals");
    const ids = seals.map(({ id }) => id);
    for (const { decisionId } of Object.values(expected.calls)) expect(ids).toContain(decisionId);
  });

  test("holds to the old proofs and exports, by the command line and by the independent verifier in Python", async () => {
    const keys = fixture.file("audit-keys.txt");
    const proofs = ["proof.json", "proof-second-epoch.json", "consistency.json"];
    const exports = ["trail.jsonl.gz", "retired-month.jsonl"];
    for (const [command, names] of [
      ["check-proof", proofs],
      ["check-export", exports],
    ] as const)
      for (const name of names)
        expect(await run("audit", command, fixture.file(name), "--key", keys), name).toMatchObject({ status: 0 });
    expect((await run("audit", "key")).stdout).toContain(firstLine(keys));

    const python = findPython("cryptography.hazmat.primitives.asymmetric.ed25519", "cryptography");
    if (python === null) return;
    for (const name of [...proofs, ...exports]) {
      const verified = spawnSync(
        python,
        ["clients/python-verify/datacrawl_verify.py", fixture.file(name), "--key", keys],
        { encoding: "utf8" },
      );
      expect(verified, name).toMatchObject({ status: 0, stderr: "" });
    }
  });

  test("gives proofs of old decisions, and of what has not changed since an old checkpoint", async () => {
    const prove = async (name: string, ...args: string[]): Promise<void> => {
      const proven = await run("audit", ...args);
      expect(proven, name).toMatchObject({ status: 0, stderr: "" });
      writeFileSync(join(directory, name), proven.stdout);
      const keys = fixture.file("audit-keys.txt");
      expect(await run("audit", "check-proof", join(directory, name), "--key", keys), name).toMatchObject({
        status: 0,
      });
    };
    await prove("allowed.json", "prove", idOf("allowed"), "--payload");
    await prove("erased.json", "prove", idOf("erased"));
    await prove("guard.json", "prove", expected.guardDecisions["allowed by the bypass"] as string);
    const checkpoints = ["kept.checkpoint", "first-epoch.checkpoint"].map((name) => fixture.file(name));
    await prove("consistency.json", "prove-consistency", ...checkpoints);
    const retired = await run("audit", "prove", expected.retired.decisionIds[0] as string);
    expect(retired).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("look for it in the export of its month") as string,
    });
  });

  test("has open reviews that people approve, in an old session and by an old password", async () => {
    const approve = async (label: string, cookie: string): Promise<unknown> => {
      const request = { reviewId: expected.reviews[label], comment: "after the upgrade" };
      return await (await callAdmin("AdminService/ApproveReview", request, cookie)).json();
    };
    const approved = { review: { state: "REVIEW_STATE_APPROVED" } };
    expect(await approve("open", expected.session)).toMatchObject(approved);
    expect(await approve("half approved", await signIn("bob"))).toMatchObject(approved);
    for (const label of ["open", "half approved"]) {
      const { agent, request, decisionId } = expected.calls[label] as ExpectedCall;
      const { body } = await ask(urlFor(1), expected.agentKeys[agent] as string, request);
      expect(body, label).toMatchObject({ decision: "DECISION_ALLOW", reason: "REASON_REVIEW_APPROVED", decisionId });
    }
    const states = await json<{ reviewId: string; state: string }[]>("review", "list");
    const stateOf = (label: string) => states.find(({ reviewId }) => reviewId === expected.reviews[label])?.state;
    expect(["approved", "rejected", "expired", "lapsed"].map(stateOf)).toEqual([
      "approved",
      "rejected",
      "expired",
      "lapsed",
    ]);
  });

  test("has its operators: a one-time code of the old secret works, a removed account does not", async () => {
    const secret = base32Decode(new URL(expected.totpUri).searchParams.get("secret") ?? "");
    expect(await signIn("tom")).toBe("");
    expect(await signIn("tom", totpCode(secret, Math.floor(Date.now() / 30_000)))).not.toBe("");
    expect(await signIn("gone")).toBe("");
  });

  test("lists the old grants, circuit orders and what guards recorded in an outage", async () => {
    const grants = await json<{ grantId: string }[]>("bypass", "list", "--past");
    expect(grants.map(({ grantId }) => grantId)).toEqual(expected.grantIds);
    expect((await run("circuit", "show", "spare-1")).stdout).toContain("INC-1");
    for (const id of Object.values(expected.guardDecisions)) {
      const shown = await json<object>("audit", "show", id);
      expect(shown).toMatchObject({ hashMatches: true, row: { source: "guard", agent_id: "ops-1" } });
    }
  });

  test("sends the webhook what the old version could not, each message under its id and signed with the old secret", async () => {
    const isSent = (): boolean => expected.webhookIds.every((id) => receiver.ids.includes(id));
    await waitUntil(isSent, 60_000, "not all messages were sent");
    const secret = firstLine(fixture.file("keys/webhook.secret"));
    const sent = receiver.received.filter(({ id }) => expected.webhookIds.includes(id));
    expect(sent.every((message) => isSigned(message, secret))).toBe(true);
  });
});

describe.skipIf(server === null)("a database that is not for this version", () => {
  const tablesOf = (url: string): Promise<Record<string, unknown>[]> =>
    query(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
  /** Both ways to migrate, each of which is expected to be refused. */
  const refusals = (env: Env): { status: number | null; stderr: string }[] => {
    const anywhere = { DATACRAWL_GRPC_ADDR: "127.0.0.1:0", DATACRAWL_CONNECT_ADDR: "127.0.0.1:0" };
    return [runCli(["migrate"], env), runCli(["serve"], { DATACRAWL_DATA_DIR: tempDir(), ...anywhere, ...env })];
  };

  test("is refused if a newer version has migrated it, by name, and nothing in it changes", async () => {
    const { env, superUrl } = await fixture.restore(server as string);
    await query(superUrl, "INSERT INTO schema_migrations (id, name) VALUES (9999, 'of-tomorrow')");
    const before = [await tablesOf(superUrl), await query(superUrl, "SELECT * FROM schema_migrations ORDER BY id")];
    for (const { status, stderr } of refusals(env)) {
      expect(status).toBe(1);
      expect(stderr).toContain("newer version of DataCrawl");
    }
    const after = [await tablesOf(superUrl), await query(superUrl, "SELECT * FROM schema_migrations ORDER BY id")];
    expect(after).toEqual(before);
  });

  test("is refused if it has another program's table under the same name, which is named, and nothing in it changes", async () => {
    const { ownerUrl, serviceUrl, superUrl } = await makeDatabase(server as string);
    await query(ownerUrl, "CREATE TABLE agents AS SELECT 'James Bond' AS name");
    const keysDir = tempDir();
    expect(runCli(["keys", "init"], { DATACRAWL_KEYS_DIR: keysDir }).status).toBe(0);
    const env = { DATABASE_URL: serviceUrl, DATABASE_OWNER_URL: ownerUrl, DATACRAWL_KEYS_DIR: keysDir };
    for (const { status, stderr } of refusals(env)) {
      expect(status).toBe(1);
      expect(stderr).toContain("agents");
    }
    expect(await query(superUrl, "SELECT * FROM agents")).toEqual([{ name: "James Bond" }]);
    expect(await query(superUrl, "SELECT FROM pg_tables WHERE tablename LIKE 'audit%'")).toEqual([]);
  });
});

describe("an embedded database with the layout and the rows of version f241b80", () => {
  let service: ServiceProcess;
  let env: Env;

  beforeAll(async () => {
    env = await fixture.restoreEmbedded();
    service = await startService(env);
  });
  afterAll(() => discard(service));

  test("is taken over: each key is answered as before, and nothing in the trail is wrong", async () => {
    await expectReplays(() => service.connectUrl, callsOf(false));
    expect(await cli(["audit", "seal"], env)).toMatchObject({ status: 0 });
    const { status, stdout } = await cli(["audit", "verify", "--full"], env);
    expect(stdout).toContain("nothing is wrong");
    expect(status).toBe(0);
  });
});
