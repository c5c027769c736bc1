import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { AuthorizeService } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { DataCrawl, type Verdict } from "@datacrawl/client";
import { type Cluster, makeAgent, makeCluster } from "../support/cluster.ts";
import { freePort, waitUntil } from "../support/net.ts";
import { cli } from "../support/cli.ts";
import { addReviewer, REVIEWER_PASSWORD, type Reviewer, signInAs, writeReviewPolicies } from "../support/reviewers.ts";
import { startSidecar } from "../support/sidecar.ts";
import { discard, runCli, type ServiceProcess, startService, tempDir } from "../support/service.ts";

interface Row {
  readonly id: string;
  readonly decision: string;
  readonly reason: string;
  readonly linked: string | null;
  readonly review: string | null;
  readonly key: string;
}

describe.skipIf(inject("postgresUrl") === null)("reviews, over two replicas with Postgres and Redis", () => {
  let cluster: Cluster;
  let database: pg.Client;
  let [here, there]: ServiceProcess[] = [];
  let policies: string;
  let dc: DataCrawl;
  let [ann, bob]: Reviewer[] = [];
  let annThere: Reviewer;
  let sequence = 0;

  beforeAll(async () => {
    policies = writeReviewPolicies(tempDir());
    const redisUrl = inject("redisUrl");
    cluster = (await makeCluster({
      DATACRAWL_POLICY_DIR: policies,
      ...(redisUrl === null ? {} : { REDIS_URL: redisUrl }),
    })) as Cluster;
    database = new pg.Client(cluster.superUrl);
    await database.connect();
    for (const name of ["ann", "bob", "racer"]) await addReviewer(name, cluster.env);
    await addReviewer("vera", cluster.env, "viewer");
    [here, there] = await Promise.all([startService(cluster.env), startService(cluster.env)]);
    [ann, bob, annThere] = await Promise.all([
      signInAs("ann", service(here).adminUrl),
      signInAs("bob", service(here).adminUrl),
      signInAs("ann", service(there).adminUrl),
    ]);
    dc = clientOf(service(there), cluster.agentKey);
  });
  afterAll(async () => {
    await dc?.close();
    await discard(here);
    await discard(there);
    await database?.end();
  });

  const service = (one: ServiceProcess | undefined): ServiceProcess => one as ServiceProcess;
  const clientOf = (one: ServiceProcess, apiKey: string, transport: "grpc" | "connect" = "grpc"): DataCrawl =>
    new DataCrawl({
      url: transport === "grpc" ? `http://127.0.0.1:${one.grpcPort}` : one.connectUrl,
      apiKey,
      transport,
      timeoutMs: 20_000,
    });
  const question = (tool: string) => ({ tool, payload: { amount: 500 }, idempotencyKey: `${tool}-${++sequence}` });
  const rowsOf = async (verdict: Verdict): Promise<Row[]> => {
    const { rows } = await database.query(
      `SELECT decision_id::text AS id, decision, reason, linked_decision_id::text AS linked, review_id::text AS review,
         idempotency_key AS key
       FROM audit_decisions WHERE decision_id = $1 OR linked_decision_id = $1
       -- The first decision first: the replica that resolves it knows the database's time only as well as it was answered.
       ORDER BY decision_id <> $1, recorded_at, decision_id`,
      [verdict.decisionId],
    );
    return rows as Row[];
  };
  const reviewOf = async (verdict: Verdict): Promise<string> => (await rowsOf(verdict))[0]?.review as string;
  const codeOf = ({ body }: { body: Record<string, unknown> }): unknown => body["code"];

  test("an agent waits, a person approves elsewhere, and the agent goes on under the same decision id", async () => {
    const asked = question("refund");
    const first = await dc.authorize(asked);
    expect(first).toMatchObject({ decision: "needs_review", reason: "REVIEW_PENDING" });
    const waiting = dc.waitForReview(first.decisionId, { timeoutMs: 60_000 });
    const reviewId = await reviewOf(first);
    const shown = await ann?.call("GetReview", { reviewId });
    expect(shown?.body).toMatchObject({
      payload: '{"amount":500}',
      review: { agentId: "racer", tool: "refund", decisionId: first.decisionId, state: "REVIEW_STATE_OPEN" },
    });
    expect((await ann?.call("ApproveReview", { reviewId, comment: "called the customer" }))?.status).toBe(200);

    const verdict = await waiting;
    expect(verdict).toMatchObject({
      decision: "allow",
      reason: "REVIEW_APPROVED",
      decisionId: first.decisionId,
      source: "service",
      tool: "refund",
      idempotencyKey: asked.idempotencyKey,
    });
    expect(await dc.authorize(asked)).toMatchObject({
      decision: "allow",
      decisionId: first.decisionId,
      replayed: true,
    });
    const rows = await rowsOf(first);
    expect(rows).toMatchObject([
      { id: first.decisionId, decision: "needs_review", reason: "REVIEW_PENDING", linked: null, review: reviewId },
      { decision: "allow", reason: "REVIEW_APPROVED", linked: first.decisionId, review: reviewId },
    ]);
    const events = await database.query(
      "SELECT kind, actor, decision_id::text AS id FROM audit_events WHERE subject = $1 AND kind LIKE 'review.%'",
      [reviewId],
    );
    expect(events.rows).toEqual([{ kind: "review.approved", actor: "operator:ann", id: first.decisionId }]);
    // The same request is another action under another key, and needs a review of its own.
    const other = await dc.authorize({ ...asked, idempotencyKey: `${asked.idempotencyKey}-again` });
    expect(other.reason).toBe("REVIEW_PENDING");
  });

  test("over Connect too, and a rejection is a deny", { tags: ["full"] }, async () => {
    await using over = clientOf(service(there), cluster.agentKey, "connect");
    const first = await over.authorize(question("refund"));
    const waiting = over.waitForReview(first.decisionId, { timeoutMs: 60_000 });
    await bob?.call("RejectReview", { reviewId: await reviewOf(first), comment: "no" });
    expect(await waiting).toMatchObject({ decision: "deny", reason: "REVIEW_REJECTED", decisionId: first.decisionId });
  });

  test("where two people must approve, neither the same one twice nor the socket is the second", async () => {
    const asked = question("wire");
    const first = await dc.authorize(asked);
    const reviewId = await reviewOf(first);
    const approve = { reviewId, comment: "fine" };
    expect((await ann?.call("ApproveReview", approve))?.body).toMatchObject({ review: { state: "REVIEW_STATE_OPEN" } });
    expect(codeOf((await annThere.call("ApproveReview", approve)) as never)).toBe("failed_precondition");
    const socket = await cli(["review", "approve", reviewId, "--comment", "me"], {
      ...cluster.env,
      DATACRAWL_DATA_DIR: service(here).dataDir,
    });
    expect(socket).toMatchObject({ status: 1, stdout: "" });
    expect(socket.stderr).toContain("named operator");
    expect(await dc.authorize(asked)).toMatchObject({ reason: "REVIEW_PENDING" });
    expect(await rowsOf(first)).toHaveLength(1);
    expect((await bob?.call("ApproveReview", approve))?.body).toMatchObject({
      review: { state: "REVIEW_STATE_APPROVED" },
    });
    expect(await dc.authorize(asked)).toMatchObject({ decision: "allow", decisionId: first.decisionId });
    expect(await rowsOf(first)).toHaveLength(2);
  });

  test("who may not answer changes nothing, and is recorded", async () => {
    const first = await dc.authorize(question("refund"));
    const reviewId = await reviewOf(first);
    const vera = await signInAs("vera", service(here).adminUrl);
    const agent = await signInAs("racer", service(here).adminUrl);
    for (const caller of [vera, agent]) {
      const refused = await caller.call("ApproveReview", { reviewId, comment: "let me" });
      expect(codeOf(refused)).toBe("permission_denied");
    }
    expect(await rowsOf(first)).toHaveLength(1);
    const { rows } = await database.query(
      "SELECT actor, detail FROM audit_events WHERE subject = $1 AND kind = 'admin.call' ORDER BY recorded_at",
      [reviewId],
    );
    const refusals = (rows as { actor: string; detail: string }[]).filter(({ detail }) =>
      detail.includes("NOT_PERMITTED"),
    );
    expect(refusals.map(({ actor }) => actor)).toEqual(["operator:vera", "operator:racer"]);
  });

  test("two people who answer at once through two replicas make one resolution", async () => {
    for (let round = 0; round < 5; round++) {
      const first = await dc.authorize(question("refund"));
      const reviewId = await reviewOf(first);
      const answers = await Promise.all([
        annThere.call("ApproveReview", { reviewId, comment: "yes" }),
        bob?.call("RejectReview", { reviewId, comment: "no" }),
      ]);
      expect(new Set(answers.map((answer) => answer?.status))).toEqual(new Set([200, 400]));
      const rows = await rowsOf(first);
      expect(rows).toHaveLength(2);
      const approved = answers[0]?.status === 200;
      expect(rows[1]?.reason).toBe(approved ? "REVIEW_APPROVED" : "REVIEW_REJECTED");
    }
  });

  test("what nobody answers in time is denied, once, and stays so", async () => {
    const asked = question("quick");
    const first = await dc.authorize(asked);
    const reviewId = await reviewOf(first);
    const waits = [dc.waitForReview(first.decisionId), dc.waitForReview(first.decisionId)];
    for (const verdict of await Promise.all(waits))
      expect(verdict).toMatchObject({ decision: "deny", reason: "REVIEW_EXPIRED", decisionId: first.decisionId });
    const late = await ann?.call("ApproveReview", { reviewId, comment: "late" });
    expect(codeOf(late as never)).toBe("failed_precondition");
    expect(late?.body["message"]).toMatch(/^The review expired unanswered at \d{4}-/);
    expect(await dc.authorize(asked)).toMatchObject({ reason: "REVIEW_EXPIRED", decisionId: first.decisionId });
    expect((await rowsOf(first)).map(({ reason }) => reason)).toEqual(["REVIEW_PENDING", "REVIEW_EXPIRED"]);
  });

  test("an approval that is withdrawn allows nothing from then on, and says whether it did before", async () => {
    const withdraw = (reviewId: string) => ({ reviewId, comment: "the customer called again" });
    for (const isUsed of [false, true]) {
      const asked = question("refund");
      const first = await dc.authorize(asked);
      const reviewId = await reviewOf(first);
      await ann?.call("ApproveReview", { reviewId, comment: "yes" });
      if (isUsed) expect(await dc.authorize(asked)).toMatchObject({ decision: "allow" });
      const other = await bob?.call("WithdrawApproval", withdraw(reviewId));
      expect(other?.body["message"]).toContain("bob has not approved this call");
      const withdrawn = await annThere.call("WithdrawApproval", withdraw(reviewId));
      expect(withdrawn.body).toMatchObject({
        review: {
          state: "REVIEW_STATE_WITHDRAWN",
          withdrawal: { operator: "ann", comment: "the customer called again" },
        },
      });
      expect("firstAllowedAt" in (withdrawn.body["review"] as object)).toBe(isUsed);
      expect(await dc.authorize(asked)).toMatchObject({
        decision: "deny",
        reason: "REVIEW_REJECTED",
        decisionId: first.decisionId,
      });
      expect(await dc.waitForReview(first.decisionId)).toMatchObject({ reason: "REVIEW_REJECTED" });
      const reasons = ["REVIEW_PENDING", "REVIEW_APPROVED", "REVIEW_REJECTED"];
      expect((await rowsOf(first)).map(({ reason }) => reason)).toEqual(reasons);
      const { rows } = await database.query(
        "SELECT kind, actor, detail FROM audit_events WHERE subject = $1 AND kind LIKE 'review.%' ORDER BY recorded_at",
        [reviewId],
      );
      expect(rows).toMatchObject([{ kind: "review.approved" }, { kind: "review.withdrawn", actor: "operator:ann" }]);
      const detail = JSON.parse((rows[1] as { detail: string }).detail) as Record<string, unknown>;
      expect(detail["firstAllowedAtUs"] === null).toBe(!isUsed);
      const again = await bob?.call("RejectReview", { reviewId, comment: "no" });
      expect(again?.body["message"]).toMatch(/^ann withdrew the approval of this call at \d{4}-/);
    }
  });

  test("one of two approvals can be withdrawn: the call is denied, whatever the other person says", {
    tags: ["full"],
  }, async () => {
    const asked = question("wire");
    const first = await dc.authorize(asked);
    const reviewId = await reviewOf(first);
    await ann?.call("ApproveReview", { reviewId, comment: "yes" });
    expect((await ann?.call("WithdrawApproval", { reviewId, comment: "no" }))?.status).toBe(200);
    expect(codeOf((await bob?.call("ApproveReview", { reviewId, comment: "yes" })) as never)).toBe(
      "failed_precondition",
    );
    expect(await dc.authorize(asked)).toMatchObject({ reason: "REVIEW_REJECTED", decisionId: first.decisionId });
    expect((await rowsOf(first)).map(({ reason }) => reason)).toEqual(["REVIEW_PENDING", "REVIEW_REJECTED"]);
  });

  test("an agent that asks while the approval is withdrawn is not allowed unless the person is told", async () => {
    for (let round = 0; round < 8; round++) {
      const asked = question("refund");
      const first = await dc.authorize(asked);
      const reviewId = await reviewOf(first);
      await ann?.call("ApproveReview", { reviewId, comment: "yes" });
      const [verdict, withdrawn] = await Promise.all([
        dc.authorize(asked),
        annThere.call("WithdrawApproval", { reviewId, comment: "no" }),
      ]);
      expect(withdrawn.status).toBe(200);
      if (verdict.decision === "allow") expect(withdrawn.body["review"]).toHaveProperty("firstAllowedAt");
      expect(await dc.authorize(asked)).toMatchObject({ decision: "deny", reason: "REVIEW_REJECTED" });
    }
  });

  test("an approval lapses: its key is denied from then on", { tags: ["full"] }, async () => {
    const asked = question("brief");
    const first = await dc.authorize(asked);
    await ann?.call("ApproveReview", { reviewId: await reviewOf(first), comment: "be quick" });
    await waitUntil(async () => (await dc.authorize(asked)).decision === "deny", 20_000, "the approval does not lapse");
    expect(await dc.authorize(asked)).toMatchObject({ reason: "REVIEW_EXPIRED", decisionId: first.decisionId });
    expect((await rowsOf(first)).map(({ reason }) => reason)).toEqual([
      "REVIEW_PENDING",
      "REVIEW_APPROVED",
      "REVIEW_EXPIRED",
    ]);
  });

  test("a frozen agent is denied, whatever was approved; a watch ends with the deny", async () => {
    const key = await makeAgent("frosty", { ...cluster.env, DATACRAWL_DATA_DIR: service(here).dataDir });
    await using frosty = clientOf(service(there), key);
    const asked = question("refund");
    const first = await frosty.authorize(asked);
    const reviewId = await reviewOf(first);
    const waiting = frosty.waitForReview(first.decisionId);
    const freeze = ["agent", "freeze", "frosty", "--reason", "test"];
    expect(await cli(freeze, { ...cluster.env, DATACRAWL_DATA_DIR: service(here).dataDir })).toMatchObject({
      status: 0,
    });
    await sleep(1500);
    expect((await ann?.call("ApproveReview", { reviewId, comment: "yes" }))?.status).toBe(200);
    const verdict = await waiting;
    expect(verdict).toMatchObject({ decision: "deny", reason: "AGENT_FROZEN", decisionId: first.decisionId });
    expect(await frosty.authorize(asked)).toMatchObject({ decision: "deny", reason: "AGENT_FROZEN" });
    const reasons = (await rowsOf(first)).map(({ reason }) => reason);
    expect(reasons.toSorted((a, b) => a.localeCompare(b))).toEqual([
      "AGENT_FROZEN",
      "AGENT_FROZEN",
      "REVIEW_APPROVED",
      "REVIEW_PENDING",
    ]);
  });

  test("nobody watches another agent's decision, or one that is none", async () => {
    await using other = clientOf(service(there), await makeAgent("other", cluster.env));
    const { decisionId } = await dc.authorize(question("refund"));
    for (const id of [decisionId, "0193a000-0000-7000-8000-000000000000"])
      expect(await other.waitForReview(id)).toMatchObject({
        decision: "deny",
        reason: "REQUEST_REFUSED",
        source: "guard",
      });
  });

  test("a wait outlives the replica that it was on, and never its own time", { tags: ["full"] }, async () => {
    const port = await freePort();
    const third = await startService({ ...cluster.env, DATACRAWL_GRPC_ADDR: `127.0.0.1:${port}` });
    await using client = clientOf(third, cluster.agentKey);
    const first = await client.authorize(question("refund"));
    const reviewId = await reviewOf(first);
    const waiting = client.waitForReview(first.decisionId, { timeoutMs: 60_000 });
    await sleep(300);
    await third.kill("SIGKILL");
    const before = client.circuit;
    expect(await client.waitForReview(first.decisionId, { timeoutMs: 700 })).toMatchObject({
      decision: "deny",
      source: "guard",
    });
    expect(client.circuit).toEqual(before);
    await ann?.call("ApproveReview", { reviewId, comment: "while nobody could hear" });
    const reborn = await startService({ ...cluster.env, DATACRAWL_GRPC_ADDR: `127.0.0.1:${port}` });
    expect(await waiting).toMatchObject({ decision: "allow", decisionId: first.decisionId });
    await discard(third);
    // A watch that is open does not hold up the end of its service.
    const pending = await client.authorize(question("refund"));
    const cut = client.waitForReview(pending.decisionId, { timeoutMs: 3000 });
    await sleep(300);
    expect(await reborn.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    expect((await cut).decision).not.toBe("allow");
    await discard(reborn);
  });

  test("a person answers at the terminal, under the name that was signed in with", { tags: ["full"] }, async () => {
    const first = await dc.authorize(question("refund"));
    const reviewId = await reviewOf(first);
    const env = { ...cluster.env, DATACRAWL_DATA_DIR: service(here).dataDir };
    const approve = ["review", "approve", reviewId, "--comment", "seen", "--json", "--as", "bob", "--password-stdin"];
    const wrong = runCli(approve, env, "wrong horse battery");
    expect(wrong).toMatchObject({ status: 1, stdout: "" });
    const { status, stdout, stderr } = runCli(approve, env, REVIEWER_PASSWORD);
    expect([status, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toMatchObject({ state: "approved", answers: [{ operator: "bob", comment: "seen" }] });
    expect((await rowsOf(first)).map(({ reason }) => reason)).toEqual(["REVIEW_PENDING", "REVIEW_APPROVED"]);
    const asAnn = ["--reason", "late", "--as", "ann", "--password-stdin"];
    const conflict = runCli(["review", "reject", reviewId, ...asAnn], env, REVIEWER_PASSWORD);
    expect(conflict).toMatchObject({ status: 1, stdout: "" });
    expect(conflict.stderr).toMatch(/bob approved this call at \d{4}-\d\d-\d\dT/);
    const asBob = ["--reason", "I erred", "--as", "bob", "--password-stdin"];
    const withdrawn = runCli(["review", "withdraw", reviewId, ...asBob], env, REVIEWER_PASSWORD);
    expect(withdrawn).toMatchObject({ status: 0, stderr: "" });
    expect(withdrawn.stdout).toContain("the call is denied from now on. It was never answered ALLOW.");
    const shown = runCli(["review", "show", reviewId], env);
    expect(shown.stdout).toMatch(/withdrawn +bob, .*: I erred/);
  });

  test("a bare stub watches through the sidecar: the current answer, and then the resolution", {
    tags: ["full"],
  }, async () => {
    const sidecar = await startSidecar(service(there).grpcPort, cluster.agentKey, { DATACRAWL_LOG_LEVEL: "silent" });
    const first = await dc.authorize(question("refund"));
    const reviewId = await reviewOf(first);
    const stub = createClient(
      AuthorizeService,
      createConnectTransport({ baseUrl: sidecar.connectUrl, httpVersion: "1.1" }),
    );
    const heard: { reason: Reason; decision: Decision; decisionId: string; tool: string; nonce: number[] }[] = [];
    const nonce = Uint8Array.from({ length: 16 }, (_, n) => n);
    // However long the service takes, the current answer comes first: nobody approves before it has.
    service(there).child.kill("SIGSTOP");
    const resumed = sleep(1200).then(() => service(there).child.kill("SIGCONT"));
    for await (const answer of stub.watchDecision({ decisionId: first.decisionId, nonce }, { timeoutMs: 60_000 })) {
      const { reason, decision, decisionId, tool } = answer;
      heard.push({ reason, decision, decisionId, tool, nonce: [...answer.nonce] });
      if (heard.length === 1) await ann?.call("ApproveReview", { reviewId, comment: "yes" });
    }
    await resumed;
    const same = { decisionId: first.decisionId, tool: "refund", nonce: [...nonce] };
    expect(heard).toEqual([
      { reason: Reason.REVIEW_PENDING, decision: Decision.NEEDS_REVIEW, ...same },
      { reason: Reason.REVIEW_APPROVED, decision: Decision.ALLOW, ...same },
    ]);
    const stranger = stub.watchDecision({ decisionId: "0193a000-0000-7000-8000-000000000000" }, { timeoutMs: 5000 });
    const refused = [];
    for await (const { decision, source } of stranger) refused.push({ decision, source });
    expect(refused).toEqual([{ decision: Decision.DENY, source: Source.GUARD }]);
    await sidecar.kill("SIGTERM");
  });

  test("a service that is killed while people answer has done all of each answer, or nothing", {
    tags: ["full"],
  }, async () => {
    const doomed = await startService(cluster.env);
    const eve = await signInAs("ann", doomed.adminUrl);
    const verdicts = await Promise.all(Array.from({ length: 40 }, () => dc.authorize(question("refund"))));
    const reviewIds = await Promise.all(verdicts.map(reviewOf));
    let answered = 0;
    const answers = reviewIds.map(async (reviewId) => {
      const { status } = await eve.call("ApproveReview", { reviewId, comment: "yes" });
      if (++answered === 8) void doomed.kill("SIGKILL");
      return status;
    });
    const told = (await Promise.allSettled(answers)).map((one) => (one.status === "fulfilled" ? one.value : 0));
    await doomed.kill("SIGKILL");
    expect(told.filter((status) => status === 200).length).toBeGreaterThanOrEqual(8);
    let open = 0;
    for (const [index, verdict] of verdicts.entries()) {
      const reviewId = reviewIds[index];
      const { rows } = await database.query(
        `SELECT state, (SELECT count(*)::int FROM review_answers a WHERE a.review_id = r.review_id) AS answers,
           (SELECT count(*)::int FROM audit_events WHERE subject = r.review_id::text AND kind = 'review.approved') AS events,
           (SELECT count(*)::int FROM audit_decisions WHERE linked_decision_id = r.decision_id) AS rows
         FROM reviews r WHERE review_id = $1`,
        [reviewId],
      );
      const isOpen = (rows[0] as { state: string }).state === "open";
      if (isOpen) open++;
      expect(rows[0]).toEqual(
        isOpen
          ? { state: "open", answers: 0, events: 0, rows: 0 }
          : { state: "approved", answers: 1, events: 1, rows: 1 },
      );
      // Whoever was told that it is approved was told the truth; and a retry through another replica says the same.
      if (told[index] === 200) expect(isOpen).toBe(false);
      const retry = await dc.authorize({
        tool: "refund",
        payload: { amount: 500 },
        idempotencyKey: verdict.idempotencyKey,
      });
      expect(retry).toMatchObject({ decision: isOpen ? "needs_review" : "allow", decisionId: verdict.decisionId });
    }
    expect(open).toBeLessThan(40);
    await discard(doomed);
  });

  // Last: it changes the policy for all.
  test("under another policy an approval is void, and an open review is not approved any more", async () => {
    const [approved, open] = [question("refund"), question("refund")];
    const [first, pending] = [await dc.authorize(approved), await dc.authorize(open)];
    await ann?.call("ApproveReview", { reviewId: await reviewOf(first), comment: "yes" });
    expect((await dc.authorize(approved)).decision).toBe("allow");
    writeReviewPolicies(policies, "changed");
    for (const one of [here, there]) service(one).child.kill("SIGHUP");
    await waitUntil(async () => (await dc.authorize(approved)).decision === "deny", 20_000, "the approval is not void");
    expect(await dc.authorize(approved)).toMatchObject({ reason: "REVIEW_EXPIRED", decisionId: first.decisionId });
    // Ann asks the other replica, which would approve under the policy of before until it has read the new one.
    await using annsReplica = clientOf(service(here), cluster.agentKey);
    await waitUntil(
      async () => (await annsReplica.authorize(question("refund"))).policyVersion !== first.policyVersion,
      20_000,
      "the other replica has the policy of before",
    );
    const answer = await ann?.call("ApproveReview", { reviewId: await reviewOf(pending), comment: "yes" });
    expect(String(answer?.body["message"])).toContain("policy");
    expect(await dc.authorize(open)).toMatchObject({ reason: "REVIEW_PENDING" });
    // Back again: what is void stays void.
    writeReviewPolicies(policies);
    for (const one of [here, there]) service(one).child.kill("SIGHUP");
    await waitUntil(
      async () => (await dc.authorize(question("refund"))).policyVersion === first.policyVersion,
      20_000,
      "the policy is not back",
    );
    expect(await dc.authorize(approved)).toMatchObject({ reason: "REVIEW_EXPIRED" });
    expect(await rowsOf(first)).toHaveLength(3);
  });
});
