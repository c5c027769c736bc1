import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DataCrawl } from "@datacrawl/client";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { expectAccessible, openBrowser, signIn } from "../support/browser.ts";
import { cli } from "../support/cli.ts";
import { type Cluster, makeAgent, makeCluster } from "../support/cluster.ts";
import { waitUntil } from "../support/net.ts";
import { postgresProgram } from "../support/postgres.ts";
import { addReviewer, REVIEWER_PASSWORD, signInAs } from "../support/reviewers.ts";
import { ask, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";

const chromium = inject("chromiumPath");
const NEW_PASSWORD = "another horse battery";

/** In one order: what is lost, how the service is while nobody has acknowledged it, and afterwards. */
describe.skipIf(inject("postgresUrl") === null)("a database that is restored from a dump, with Postgres", () => {
  let cluster: Cluster;
  let service: ServiceProcess;
  let dc: DataCrawl;
  let keys: Record<"gone" | "twokeys" | "frosty" | "newcomer", string>;
  let journalDir: string;
  let grantedEpoch: number;
  let deadKey: string;
  let sequence = 0;

  const here = (...args: string[]) => cli(args, { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir });
  /** Runs a command that succeeds. @param input such as a password */
  const must = async (args: string[], input?: string): Promise<string> => {
    const { status, stdout, stderr } = await cli(args, { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir }, input);
    if (status !== 0) throw new Error(`${args.join(" ")}: exit ${status}: ${stderr}`);
    return stdout;
  };
  const request = () => ({
    tool: "gmail.send_email",
    payload: { to: ["ann@example.com"], subject: "Hi", body: "Hello" },
    idempotencyKey: `key-${++sequence}`,
  });
  const answerFor = async (key: string): Promise<unknown> => {
    const { status, body } = await ask(service.connectUrl, key, request());
    return status === 200 ? body["decision"] : body["code"];
  };
  /** The order that the guard has on its disk: its epoch, and whether it is a grant. */
  const orderOfGuard = (): { epoch: number; isGrant: boolean } => {
    const read = (name: string): string | null => {
      const path = join(journalDir, "racer", name);
      return existsSync(path) ? readFileSync(path, "utf8") : null;
    };
    const epoch = (JSON.parse(read("grants.json") ?? '{"epoch":0}') as { epoch: number }).epoch;
    const claims = Buffer.from((read("grant.jws") ?? "").split(".")[1] ?? "", "base64url").toString();
    return { epoch, isGrant: claims.includes("grant_id") };
  };
  const start = (): Promise<ServiceProcess> =>
    startService({
      ...cluster.env,
      ...(service !== undefined && {
        DATACRAWL_DATA_DIR: service.dataDir,
        DATACRAWL_GRPC_ADDR: `127.0.0.1:${service.grpcPort}`,
        DATACRAWL_CONNECT_ADDR: `127.0.0.1:${service.connectPort}`,
        DATACRAWL_ADMIN_ADDR: new URL(service.adminUrl).host,
      }),
    });

  beforeAll(async () => {
    cluster = (await makeCluster({ DATACRAWL_CHECKPOINT_DIR: tempDir() })) as Cluster;
    const made = ["gone", "twokeys", "frosty"].map(async (id) => [id, await makeAgent(id, cluster.env)] as const);
    keys = Object.fromEntries(await Promise.all(made)) as typeof keys;
    service = await start();
    const env = { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir };
    for (const name of ["ann", "rob", "vic"]) await addReviewer(name, env, "operator");
    journalDir = tempDir();
    const url = `http://127.0.0.1:${service.grpcPort}`;
    dc = new DataCrawl({ url, apiKey: cluster.agentKey, journalDir, timeoutMs: 20_000 });
    await dc.ready();
    const dead = JSON.parse(await must(["agent", "key", "add", "twokeys", "--json"])) as { keyId: string; key: string };
    deadKey = dead.key;
    await must(["audit", "seal"]);
    const dump = join(tempDir(), "dump");
    run("pg_dump", ["-Fc", "-f", dump, cluster.superUrl]);

    const bypass = ["bypass", "set", "racer", "--all-tools", "--reason", "INC-42", "--for", "2h"];
    await must([...bypass, "--as", "ann", "--password-stdin"], REVIEWER_PASSWORD);
    await must(["agent", "revoke", "gone"]);
    await must(["agent", "key", "revoke", "twokeys", dead.keyId]);
    await must(["agent", "freeze", "frosty", "--reason", "it misbehaves"]);
    await must(["operator", "remove", "vic"]);
    await must(["operator", "set-password", "rob", "--password-stdin"], NEW_PASSWORD);
    keys.newcomer = (JSON.parse(await must(["agent", "create", "newcomer", "--json"])) as { key: string }).key;
    await must(["audit", "seal"]);
    await waitUntil(() => orderOfGuard().isGrant, 60_000, "the guard did not hear of its grant");
    grantedEpoch = orderOfGuard().epoch;
    await service.kill("SIGTERM");

    await restore(cluster.superUrl, cluster.env["DATABASE_OWNER_URL"] as string, dump);
    service = await start();
  });
  afterAll(async () => {
    await dc?.close();
    await discard(service);
  });

  test("nobody is allowed anything, and no circuit opens under which a bypass could act", async () => {
    for (const key of [cluster.agentKey, keys.twokeys, keys.frosty])
      expect(await answerFor(key)).toBe("failed_precondition");
    for (const key of [keys.gone, deadKey, keys.newcomer]) expect(await answerFor(key)).toBe("unauthenticated");
    for (let call = 0; call < 7; call++)
      expect(await dc.authorize(request())).toMatchObject({ decision: "deny", reason: "REQUEST_REFUSED" });
    expect(dc.circuit.state).toBe("closed");
    const metrics = await (await fetch(`${service.connectUrl}/metrics`)).text();
    expect(metrics).toMatch(/^datacrawl_in_recovery 1$/m);
    expect((await here("overview")).stdout).toContain("agents are allowed nothing");
    expect(JSON.parse((await here("overview", "--json")).stdout)).toMatchObject({ inRecovery: true });
  });

  test("the guard's grant is void, though the database knows nothing of it", async () => {
    await waitUntil(() => !orderOfGuard().isGrant, 60_000, "the guard still has its grant");
    expect(orderOfGuard().epoch).toBeGreaterThan(grantedEpoch);
    expect(JSON.parse(await must(["bypass", "list", "--past", "--json"]))).toEqual([]);
    const cleared = await must(["bypass", "clear", "racer", "--reason", "to be sure"]);
    expect(cleared).toMatch(/knows of no grant in force. It issued a revocation anyway/);
  });

  test("who was removed, or has another password now, does not come in; who does only looks", async () => {
    await expect(signInAs("vic", service.adminUrl)).rejects.toThrow("SIGN_IN_FAILED");
    await expect(signInAs("rob", service.adminUrl)).rejects.toThrow("SIGN_IN_FAILED");
    const ann = await signInAs("ann", service.adminUrl);
    expect(await ann.call("GetOverview", {})).toMatchObject({ status: 200, body: { overview: { inRecovery: true } } });
    for (const [method, body] of [
      ["UnfreezeAgent", { agentId: "frosty", reason: "let it" }],
      ["SetCircuitBypass", { agentId: "racer", allTools: true, reason: "let it" }],
      ["AcknowledgeAuditRollback", { reason: "let it", confirmed: true }],
    ] as const) {
      const refused = await ann.call(method, body);
      expect([method, refused.status, refused.body["code"]]).toEqual([method, 400, "failed_precondition"]);
    }
  });

  test.skipIf(chromium === null)("the dashboard says so on each page", async () => {
    const browser = await openBrowser(chromium as string);
    const page = await signIn(browser, service.adminUrl, { name: "ann", password: REVIEWER_PASSWORD });
    for (const path of ["/", "/agents"]) {
      await page.goto(`${service.adminUrl}${path}`);
      await page.getByRole("alert").getByText("The service is in recovery: agents are allowed nothing.").waitFor();
    }
    await page.goto(service.adminUrl);
    await page.getByText("Agents are allowed nothing until it is acknowledged.").waitFor();
    await expectAccessible(page);
    await browser.close();
  });

  test("what was lost is listed with what became of it, and nothing is acknowledged by looking", async () => {
    const shown = await here("audit", "acknowledge-rollback");
    expect(shown).toMatchObject({ status: 1 });
    for (const line of [
      /agent\.revoked +gone +socket +done again/,
      /agent\.key_revoked +twokeys +socket +done again/,
      /agent\.frozen +frosty +socket +done again/,
      /operator\.removed +vic +socket +done again/,
      /operator\.password_set +rob +socket +locked: set a new password/,
      /bypass\.set +racer +operator:ann +all grants are ended/,
      /agent\.created +newcomer +socket +LOST: do it again/,
      /agents and keys +datacrawl agent list/,
    ])
      expect(shown.stdout).toMatch(line);
    expect(shown.stdout).not.toContain("THERE MAY BE MORE");
    expect(shown.stderr).toContain("Nothing is acknowledged");
    const json = JSON.parse((await here("audit", "acknowledge-rollback", "--json")).stdout) as {
      epoch: null;
      recovery: { lostChanges: { kind: string; detail: Record<string, unknown> }[]; incompleteBecause: null };
    };
    expect(json).toMatchObject({ epoch: null, recovery: { incompleteBecause: null } });
    const set = json.recovery.lostChanges.find(({ kind }) => kind === "bypass.set");
    expect(set?.detail).toMatchObject({ tools: "*", reason: "INC-42", epoch: grantedEpoch });
    expect(await here("audit", "acknowledge-rollback", "--yes")).toMatchObject({ status: 64 });
    expect(await answerFor(cluster.agentKey)).toBe("failed_precondition");
    // A new start is not a way out, and repairs nothing twice.
    const count = async (): Promise<number> =>
      (JSON.parse((await here("audit", "acknowledge-rollback", "--json")).stdout) as typeof json).recovery.lostChanges
        .length;
    const before = await count();
    await service.kill("SIGKILL");
    service = await start();
    expect(await answerFor(cluster.agentKey)).toBe("failed_precondition");
    expect(await count()).toBe(before);
  });

  test("acknowledged, agents are allowed again, and what was revoked stays revoked", async () => {
    const acknowledged = await here("audit", "acknowledge-rollback", "--yes", "--reason", "restored the dump");
    expect(acknowledged).toMatchObject({ status: 0 });
    expect(acknowledged.stdout).toContain("Epoch 2 begins: agents are allowed again.");
    expect(await dc.authorize(request())).toMatchObject({ decision: "allow" });
    expect(await answerFor(keys.twokeys)).toBe("DECISION_ALLOW");
    for (const key of [keys.gone, deadKey]) expect(await answerFor(key)).toBe("unauthenticated");
    expect(await answerFor(keys.frosty)).toBe("DECISION_DENY");
    await expect(signInAs("vic", service.adminUrl)).rejects.toThrow("SIGN_IN_FAILED");
    expect(JSON.parse((await here("overview", "--json")).stdout)).toMatchObject({ inRecovery: false, warnings: [] });
    const again = await here("audit", "acknowledge-rollback", "--yes", "--reason", "once more");
    expect(again).toMatchObject({ status: 1 });
    expect(again.stderr).toContain("there is nothing to acknowledge");
    expect(await here("audit", "verify", "--full")).toMatchObject({ status: 0 });
    const ann = await signInAs("ann", service.adminUrl);
    expect((await ann.call("UnfreezeAgent", { agentId: "frosty", reason: "it is mended" })).status).toBe(200);
    expect(await answerFor(keys.frosty)).toBe("DECISION_ALLOW");
  });
});

function run(program: string, args: string[]): void {
  const { status, stderr } = spawnSync(postgresProgram(program), args);
  if (status !== 0) throw new Error(`${program}: ${stderr.toString()}`);
}

/** Replaces the database by what the dump has. */
async function restore(superUrl: string, ownerUrl: string, dump: string): Promise<void> {
  const server = new URL(superUrl);
  const name = server.pathname.slice(1);
  server.pathname = "/postgres";
  const admin = new pg.Client(server.href);
  await admin.connect();
  await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
  await admin.query(`CREATE DATABASE ${name} OWNER ${new URL(ownerUrl).username}`);
  await admin.end();
  run("pg_restore", ["--exit-on-error", "-d", superUrl, dump]);
}
