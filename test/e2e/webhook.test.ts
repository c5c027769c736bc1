import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Cluster, makeAgent, makeCluster } from "../support/cluster.ts";
import { cli } from "../support/cli.ts";
import { waitUntil } from "../support/net.ts";
import { isSigned, type Received, Receiver } from "../support/receiver.ts";
import { addReviewer, signInAs, writeReviewPolicies } from "../support/reviewers.ts";
import { ask, discard, type Env, runCli, type ServiceProcess, startService, tempDir } from "../support/service.ts";

const accept: Receiver["answer"] = (response) => response.writeHead(204).end();
const metric = async ({ connectUrl }: ServiceProcess, line: string): Promise<number> => {
  const page = await (await fetch(`${connectUrl}/metrics`)).text();
  const found = page.split("\n").find((one) => one.startsWith(`${line} `));
  return Number(found?.slice(line.length));
};

test("the embedded store tells a webhook with the secret that it made itself, and with both while it changes", async () => {
  const receiver = await new Receiver().open();
  const service = await startService({
    DATACRAWL_WEBHOOK_URL: receiver.url,
    DATACRAWL_ADMIN_PUBLIC_URL: "https://dc.example.com",
  });
  try {
    const env = { DATACRAWL_DATA_DIR: service.dataDir };
    const file = join(service.dataDir, "keys/webhook.secret");
    const secret = readFileSync(file, "utf8");
    await makeAgent("billing-1", env);
    expect((await cli(["agent", "freeze", "billing-1", "--reason", "odd"], env)).status).toBe(0);
    const told = (type: string): Received | undefined => receiver.received.find((one) => one.type === type);
    await waitUntil(() => told("agent.frozen") !== undefined, 20_000, "not told");
    expect(told("agent.frozen")).toMatchObject({
      type: "agent.frozen",
      data: {
        subject: "billing-1",
        actor: "socket",
        detail: { reason: "odd" },
        link: "https://dc.example.com/agents",
      },
    });

    const next = "whsec_bmV4dCBzZWNyZXQsIG9mIDMyIGJ5dGVzIHRoaXMgdGltZQ==";
    writeFileSync(file, `${next}\n${secret}`);
    expect((await cli(["agent", "unfreeze", "billing-1", "--reason", "even"], env)).status).toBe(0);
    await waitUntil(() => told("agent.unfrozen") !== undefined, 20_000, "not told");
    const signedWith = (type: string): boolean[] => [secret, next].map((one) => isSigned(told(type) as Received, one));
    expect(signedWith("agent.frozen")).toEqual([true, false]);
    expect(signedWith("agent.unfrozen")).toEqual([true, true]);
    const delivered = 'datacrawl_webhook_attempts_total{outcome="delivered"}';
    await waitUntil(async () => (await metric(service, delivered)) === receiver.received.length, 20_000, "not counted");
    const { out, err } = service.output();
    for (const text of [receiver.url, secret.slice(6, 20)]) expect(out + err).not.toContain(text);
  } finally {
    await discard(service);
    await receiver.close();
  }
}, 120_000);

describe("with replicas", { tags: ["full"] }, () => {
  let cluster: Cluster | null;
  let receiver: Receiver;
  let services: ServiceProcess[] = [];
  let database: pg.Client;

  beforeAll(async () => {
    cluster = await makeCluster();
    if (cluster === null) return;
    database = new pg.Client(cluster.superUrl);
    await database.connect();
    receiver = await new Receiver().open();
  });
  afterEach(async () => {
    await Promise.all(services.map(discard));
    services = [];
    receiver.received.length = 0;
  });
  afterAll(async () => {
    await receiver.close();
    await database.end();
  });

  const start = async (more: Env = {}): Promise<ServiceProcess> => {
    const service = await startService({ ...cluster?.env, DATACRAWL_WEBHOOK_URL: receiver.url, ...more });
    services.push(service);
    return service;
  };
  const run = async (service: ServiceProcess, ...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await cli(args, { ...cluster?.env, DATACRAWL_DATA_DIR: service.dataDir });
    expect(status, stderr).toBe(0);
    return stdout;
  };
  const list = async (service: ServiceProcess, ...args: string[]): Promise<unknown> => {
    const found = JSON.parse(await run(service, "webhook", "list", "--json", ...args)) as { type: string }[];
    return found.filter(({ type }) => type === "agent.frozen");
  };
  const secret = (): string => readFileSync(join(String(cluster?.env["DATACRAWL_KEYS_DIR"]), "webhook.secret"), "utf8");
  const waiting = async (): Promise<unknown[]> => (await database.query("SELECT * FROM webhook_messages")).rows;

  test("a receiver that is down gets its message later; one that was killed has left it to another", async ({
    skip,
  }) => {
    if (cluster === null) return skip();
    const first = await start();
    await receiver.close();
    await run(first, "agent", "create", "down");
    await run(first, "agent", "freeze", "down", "--reason", "test");
    const pending = async (): Promise<boolean> => (await metric(first, "datacrawl_webhook_pending")) > 0;
    await waitUntil(pending, 20_000, "the message is not shown as waiting");
    const failed = 'datacrawl_webhook_attempts_total{outcome="failed"}';
    await waitUntil(async () => (await metric(first, failed)) > 0, 20_000, "no failure is counted");

    // Nobody waited three days: as if somebody had.
    const isTold = async (): Promise<boolean> => JSON.stringify(await list(first)).includes("ECONNREFUSED");
    await waitUntil(isTold, 20_000, "the failure is not shown");
    expect(await list(first)).toMatchObject([{ subject: "down", state: "pending" }]);
    await database.query("UPDATE webhook_messages SET state = 'dead'");
    expect(await list(first, "--dead")).toMatchObject([{ subject: "down", state: "dead", dueAt: null }]);
    await run(first, "webhook", "retry", "--dead");
    expect(await list(first, "--dead")).toEqual([]);

    // The receiver is back. It has the message when the service is killed, and the service has not noted it yet.
    const killed = new Promise<void>((resolve) => {
      receiver.answer = () => void first.kill("SIGKILL").then(() => resolve());
    });
    await receiver.open();
    await killed;
    expect(await waiting()).not.toEqual([]);
    const had = receiver.ids;
    receiver.answer = accept;
    await start();
    await waitUntil(async () => (await waiting()).length === 0, 60_000, "the message is lost, or told for ever");
    for (const id of had) expect(receiver.ids.filter((one) => one === id).length).toBeGreaterThan(1);
    expect(receiver.received.map(({ type }) => type)).toContain("agent.frozen");
    for (const message of receiver.received) expect(isSigned(message, secret())).toBe(true);
  }, 120_000);

  test("a review is told of when it opens and when it is answered, and what is redacted is not", async ({ skip }) => {
    if (cluster === null) return skip();
    const policies = writeReviewPolicies(tempDir());
    writeFileSync(join(policies, "redact.yaml"), "redact: [{ tools: [refund], paths: [payload.card.number] }]\n");
    const service = await start({ DATACRAWL_POLICY_DIR: policies });
    await addReviewer("ann", { ...cluster.env, DATACRAWL_DATA_DIR: service.dataDir });
    const payload = { amount: 900, card: { number: "4111-secret" } };
    const asked = await ask(service.connectUrl, cluster.agentKey, {
      tool: "refund",
      payload,
      idempotencyKey: "review",
    });
    const told = (type: string): Received | undefined => receiver.received.find((one) => one.type === type);
    await waitUntil(() => told("review.opened") !== undefined, 20_000, "not told that it opens");
    const opened = told("review.opened")?.data;
    expect(opened).toMatchObject({
      decisionId: asked.body["decisionId"],
      agentId: "racer",
      tool: "refund",
      decision: "needs_review",
      reason: "REVIEW_PENDING",
      payloadExcerpt: expect.stringMatching(/"number":\{"\$redacted":"hmac-sha256-128:/) as string,
    });
    expect(Date.parse(String(opened?.["expiresAt"])) - Date.now()).toBeGreaterThan(23 * 3_600_000);

    const ann = await signInAs("ann", service.adminUrl);
    const answer = { reviewId: opened?.["reviewId"], comment: "fine" };
    expect(await ann.call("ApproveReview", answer)).toMatchObject({ status: 200 });
    await waitUntil(() => told("review.resolved") !== undefined, 20_000, "not told that it is answered");
    expect(told("review.resolved")?.data).toMatchObject({
      reviewId: opened?.["reviewId"],
      linkedDecisionId: opened?.["decisionId"],
      decision: "allow",
      reason: "REVIEW_APPROVED",
      expiresAt: expect.stringMatching(/Z$/) as string,
      payloadExcerpt: null,
    });
    expect(receiver.received.map(({ body }) => body).join("\n")).not.toContain("4111-secret");
    rmSync(policies, { recursive: true });
  }, 120_000);

  test("two replicas tell of each thing once, in each agent's order", async ({ skip }) => {
    if (cluster === null) return skip();
    const [one, two] = [await start(), await start()];
    const agents = ["a1", "a2"];
    for (const agent of agents) await run(one, "agent", "create", agent);
    for (const agent of agents) {
      await run(one, "agent", "freeze", agent, "--reason", "test");
      await run(two, "agent", "unfreeze", agent, "--reason", "test");
    }
    await waitUntil(async () => (await waiting()).length === 0, 30_000, "not all was told");
    expect(receiver.received.length).toBeGreaterThanOrEqual(4);
    expect(new Set(receiver.ids).size).toBe(receiver.received.length);
    for (const agent of agents) {
      const told = receiver.received.filter(({ type, data }) => data["subject"] === agent && type.startsWith("agent."));
      expect(told.map(({ type }) => type)).toEqual(["agent.frozen", "agent.unfrozen"]);
    }
  }, 120_000);
});

test("does not start without a secret, or to another machine in clear", { tags: ["full"], timeout: 120_000 }, () => {
  const env = { DATACRAWL_DATA_DIR: tempDir(), DATACRAWL_WEBHOOK_URL: "http://hooks.example.com/T0ken" };
  const clear = runCli(["serve"], env);
  expect(clear.status).not.toBe(0);
  expect(clear.stderr).toContain("DATACRAWL_WEBHOOK_URL names another machine");
  const missing = runCli(["serve"], {
    ...env,
    DATACRAWL_WEBHOOK_URL: "https://hooks.example.com/T0ken",
    DATACRAWL_WEBHOOK_SECRET_FILE: join(env.DATACRAWL_DATA_DIR, "none"),
  });
  expect(missing.status).not.toBe(0);
  expect(missing.stderr).toContain("the webhook's secret cannot be read");
  expect(clear.stderr + missing.stderr).not.toContain("T0ken");
  rmSync(env.DATACRAWL_DATA_DIR, { recursive: true });
});
