import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callAgent, newNonce } from "../support/agent-calls.ts";
import { eventually, expectAccessible, press, tabTo, type } from "../support/browser.ts";
import { type Dashboard, hasDashboard, openDashboard, signInAgain } from "../support/dashboard.ts";
import { mailsIn, runMailAgent } from "../support/mail-agent.ts";
import { type Reviewer, signInAs } from "../support/reviewers.ts";
import { ask, tempDir } from "../support/service.ts";

const POLICIES = `rules:
  - id: mail
    description: Mail may be sent.
    tools: [mail.send, gmail.send_email]
    effect: allow
  - id: refund
    description: Refunds are for people.
    tools: [refund]
    effect: needs_review
  - id: notes
    description: Ann's notes are hers.
    tools: [notes.write]
    effect: allow
    when: request.principal == "ann@example.com"
`;
/** Without control characters, which a session cannot have. */
const SESSION = '../100%41/?id=x&y#<img src=x onerror="document.title=1">+\u202e é';
const HOSTILE = '<img src=x onerror="document.title=1"><script>alert(1)</script>\u202e\u001b[31m';

describe.skipIf(!hasDashboard())("executions in the dashboard", () => {
  let dashboard: Dashboard;
  let ann: Page;
  let sequence = 0;

  beforeAll(async () => {
    dashboard = await openDashboard({
      DATACRAWL_POLICY_DIR: writePolicies(),
      DATACRAWL_EXECUTION_TIMEOUT: "1s",
    });
    ann = await dashboard.signIn("ann");
  });
  afterAll(async () => await dashboard?.close());

  const go = async (page: Page, path: string, heading: string): Promise<void> => {
    await page.goto(`${dashboard.url}${path}`);
    await page.getByRole("heading", { name: heading, exact: true, level: 1 }).waitFor();
  };
  /** The id of a new decision. */
  const decide = async (tool: string, claims: object = {}): Promise<string> => {
    const request = { tool, payload: { amount: 5 }, idempotencyKey: `execution-${++sequence}`, ...claims };
    const { body } = await ask(dashboard.service.connectUrl, dashboard.cluster.agentKey, request);
    return String(body["decisionId"]);
  };
  const call = async (method: string, request: object): Promise<Record<string, unknown>> => {
    const { service, cluster } = dashboard;
    return (await callAgent(service.connectUrl, cluster.agentKey, method, request)).body;
  };
  /** The id of the execution. */
  const begin = async (decisionId: string): Promise<string> => {
    const started = await call("BeginExecution", { decisionId, nonce: newNonce() });
    expect(started).toMatchObject({ state: "EXECUTION_STATE_STARTED" });
    return String(started["executionId"]);
  };
  /** Changes what is in the database behind the service's back. */
  const sql = async (statement: string): Promise<void> => {
    const database = new pg.Client(dashboard.cluster.superUrl);
    await database.connect();
    await database.query(statement);
    await database.end();
  };
  const headings = (page: Page): Promise<string[]> => page.locator(".steps h2").allTextContents();

  test("a call that was reviewed, started and reported is one story, which goes on while its page is open", async () => {
    const decisionId = await decide("refund");
    await go(ann, `/decisions/${decisionId}`, "Decision");
    await ann.getByText("hash holds").waitFor();
    await ann.locator(".steps").getByText("waiting", { exact: true }).waitFor();
    expect(await headings(ann)).toEqual(["Asked", "Judged by", "Because", "Reviewed", "Recorded", "Proven"]);
    const rob = await signInAs("rob", dashboard.url);
    await rob.call("ApproveReview", { reviewId: await reviewOf(rob, decisionId), comment: "she asked for it" });
    await ann.getByText(/rob approved .*: she asked for it/).waitFor();
    await ann.getByText("The agent has not started it through the service.").waitFor();
    const executionId = await begin(decisionId);
    await ann.getByText("racer started it. Nobody can start it again.").waitFor();
    const report = { outcome: "OUTCOME_FAILED", errorCode: "HTTP_503", durationMs: 1234, summary: HOSTILE };
    await call("ReportOutcome", { decisionId, executionId, ...report });
    await ann.getByText("racer reported it with the credential").waitFor();
    const steps = ["Asked", "Judged by", "Because", "Reviewed", "Started", "Ended", "Recorded", "Proven"];
    expect(await headings(ann)).toEqual(steps);
    const ended = (await ann.getByRole("listitem").filter({ hasText: "It took" }).textContent()) ?? "";
    for (const fact of ["failed", "HTTP_503", "1,234 ms", "<script>alert(1)</script>", "\\u202e\\u001b"]) {
      expect(ended).toContain(fact);
    }
    expect(ended).not.toContain("\u202e");
    expect(await ann.locator("main img, main script").count()).toBe(0);
    expect(await ann.title()).toBe("Decision · DataCrawl");
    await expectAccessible(ann);
  });

  test("what nobody reported needs a person, until an operator records by keyboard how it ended", async () => {
    const decisionId = await decide("mail.send");
    await begin(decisionId);
    const vic = await dashboard.signIn("vic");
    await go(vic, "/", "Overview");
    const attention = vic.getByRole("region", { name: "What needs a person" });
    await attention.getByRole("link", { name: /^1 execution is unresolved/ }).click();
    await vic.getByRole("row", { name: /unresolved mail\.send racer/ }).waitFor();
    await vic.getByRole("link", { name: "Executions 1 unresolved" }).waitFor();
    await expectAccessible(vic);
    await vic.getByRole("link", { name: "mail.send" }).click();
    await vic.getByText(/The agent has not reported how it ended: look whether/).waitFor();
    expect(await vic.getByRole("button", { name: /resolve/i }).count()).toBe(0);

    await go(ann, "/decisions?execution=unresolved", "Decisions");
    await press(ann, "link", /Mail may be sent|mail/);
    await press(ann, "button", "Resolve by hand");
    await expectAccessible(ann);
    await tabTo(ann, ann.getByLabel("Outcome"));
    await ann.keyboard.press("ArrowDown");
    await ann.keyboard.press("ArrowDown");
    await type(ann, "Comment", "the mailbox is empty");
    await press(ann, "button", "Resolve it");
    await ann.getByText("ann resolved it by hand: the mailbox is empty").waitFor();
    await ann.getByText("failed", { exact: true }).waitFor();
    expect(await ann.getByRole("button", { name: "Resolve by hand" }).count()).toBe(0);
    await expectAccessible(ann);

    await vic.getByText("ann resolved it by hand: the mailbox is empty").waitFor();
    await go(vic, "/executions", "Executions");
    await vic.getByText("Nothing is unresolved").waitFor();
    await vic.getByLabel("Show").selectOption("all");
    await vic.getByRole("row", { name: /failed mail\.send racer .* resolved by ann/ }).waitFor();
    await go(vic, "/", "Overview");
    await eventually(() => attention.getByRole("link", { name: /unresolved/ }).count()).toBe(0);
    await vic.context().close();
  });

  test("of two operators who resolve an execution the second is told what was recorded, and keeps the comment", {
    tags: ["full"],
  }, async () => {
    const decisionId = await decide("mail.send");
    const executionId = await begin(decisionId);
    await go(ann, "/executions", "Executions");
    await ann.getByRole("button", { name: `resolve the execution ${executionId}` }).click();
    await ann.getByLabel("Outcome").selectOption("failed");
    await ann.getByLabel("Comment").fill("I saw no mail");
    const olga = await signInAs("olga", dashboard.url);
    const resolution = { decisionId, outcome: "OUTCOME_SUCCEEDED", comment: "it is in her inbox" };
    expect((await olga.call("ResolveExecution", resolution)).status).toBe(200);
    await ann.getByLabel(`resolve the execution ${executionId}`).waitFor({ state: "detached" });
    await ann.getByRole("button", { name: "Resolve it" }).click();
    await ann
      .getByRole("alert")
      .getByText(/olga recorded at .* that the execution ended as succeeded; it stays so/)
      .waitFor();
    expect(await ann.getByLabel("Comment").inputValue()).toBe("I saw no mail");
  });

  test("a sign-in that is too old to resolve an execution is renewed over the form, which keeps what was typed", async () => {
    const decisionId = await decide("mail.send");
    const executionId = await begin(decisionId);
    await go(ann, "/executions", "Executions");
    await ann.getByRole("button", { name: `resolve the execution ${executionId}` }).click();
    await ann.getByLabel("Outcome").selectOption("failed");
    await ann.getByLabel("Comment").fill("a long and careful comment");
    await sql("UPDATE operator_sessions SET signed_in_at = now() - interval '10 minutes' WHERE name = 'ann'");
    await ann.getByRole("button", { name: "Resolve it" }).click();
    const dialog = ann.getByRole("dialog", { name: "This needs a sign-in within the last 5 minutes" });
    await dialog.waitFor();
    await signInAgain(ann, "ann");
    await dialog.waitFor({ state: "detached" });
    expect(await ann.getByLabel("Comment").inputValue()).toBe("a long and careful comment");
    expect(await call("BeginExecution", { decisionId, nonce: newNonce() })).not.toHaveProperty("outcome");
    await ann.getByRole("button", { name: "Resolve it" }).click();
    await ann.getByLabel(`resolve the execution ${executionId}`).waitFor({ state: "detached" });
    const ended = await call("BeginExecution", { decisionId, nonce: newNonce() });
    expect(ended).toMatchObject({ state: "EXECUTION_STATE_ALREADY_STARTED", outcome: "OUTCOME_FAILED" });
  });

  test("a request is tried on behalf of a principal, and of nobody if the field is empty", async () => {
    await go(ann, "/policies", "Policies");
    const tester = ann.getByRole("region", { name: "Try a request" });
    const tried = async (principal: string, decision: string): Promise<void> => {
      await tester.getByLabel("Tool").fill("notes.write");
      await tester.getByLabel("Principal").fill(principal);
      await tester.getByRole("button", { name: "What would be answered?" }).click();
      await tester.getByRole("status").getByText(decision, { exact: true }).first().waitFor();
    };
    await tried("", "deny");
    await tried("ann@example.com", "allow");
    await tried("bob@example.com", "deny");
  });

  test("a session is a timeline, oldest first and still growing, also where its id is hostile", async () => {
    const principal = `mallory@example.com ${SESSION}`;
    const decided = [await decide("mail.send", { principal, sessionId: SESSION })];
    // What the id would be if the address were decoded twice.
    await decide("mail.send", { principal: "other", sessionId: decodeURI(SESSION) });
    decided.push(await decide("shell.run", { principal, sessionId: SESSION }));
    await begin(String(decided[0]));
    // More than one page of others has been unresolved for longer.
    await sql(`WITH others AS (
      INSERT INTO executions (decision_id, execution_id, recorded_at, agent_id, tool, idempotency_key, nonce, started_at, started_by, report_due_at)
      SELECT gen_random_uuid(), gen_random_uuid(), now(), 'others', 'mail.send', 'other', '', now(), 'key-1', now() - interval '1 day'
      FROM generate_series(1, 1001) RETURNING decision_id, report_due_at
    ) INSERT INTO execution_reports_due SELECT decision_id, report_due_at, now() FROM others`);
    await go(ann, `/decisions/${decided[1]}`, "Decision");
    await ann.getByText("hash holds").waitFor();
    expect(await ann.getByRole("link", { name: "mallory@example.com" }).count()).toBe(1);
    await press(ann, "link", /^\.\.\/100%41/);
    await ann.getByRole("heading", { name: "Session", exact: true, level: 1 }).waitFor();
    expect(await ann.getByLabel("Session", { exact: true }).inputValue()).toBe(SESSION);
    const entries = ann.getByRole("region", { name: "Timeline" }).getByRole("listitem");
    await entries.nth(1).waitFor();
    decided.push(await decide("refund", { sessionId: SESSION }));
    await entries.nth(2).waitFor();
    const tools = await entries.locator("strong").allTextContents();
    expect(tools).toEqual(["mail.send", "shell.run", "refund"]);
    await entries.first().getByText("unresolved", { exact: true }).waitFor();
    expect(await entries.getByText("unresolved", { exact: true }).count()).toBe(1);
    await sql(
      "DELETE FROM execution_reports_due WHERE decision_id IN (SELECT decision_id FROM executions WHERE agent_id = 'others')",
    );
    const text = (await ann.locator("main").textContent()) ?? "";
    expect(text).toContain("\\u202e");
    expect(text).not.toContain("\u202e");
    expect(await ann.locator("main img, main script").count()).toBe(0);
    await expectAccessible(ann);
    await entries.first().getByRole("link", { name: "mallory@example.com" }).click();
    await ann.getByRole("heading", { name: "Decisions", exact: true, level: 1 }).waitFor();
    expect(await ann.getByLabel("Principal", { exact: true }).inputValue()).toBe(principal);
    await eventually(() => ann.locator("tbody tr").count()).toBe(2);
    await ann.getByLabel("Session", { exact: true }).fill("no such session");
    await ann.getByText("No decision matches").waitFor();
    await expectAccessible(ann);
  });

  test("an agent killed after its mail sends no second one, and a person sees what happened", async () => {
    const { service, cluster } = dashboard;
    const mailbox = join(tempDir(), "mailbox");
    const mail = { url: `http://127.0.0.1:${service.grpcPort}`, apiKey: cluster.agentKey, mailbox, key: "mail-to-ann" };
    expect(runMailAgent(mail, "report-sending").signal).toBe("SIGKILL");
    expect(mailsIn(mailbox)).toHaveLength(1);
    expect(runMailAgent(mail).told).toMatchObject({ error: "AlreadyStartedError", outcome: null });
    expect(mailsIn(mailbox)).toHaveLength(1);

    const [decisionId] = mailsIn(mailbox);
    await go(ann, "/", "Overview");
    const attention = ann.getByRole("region", { name: "What needs a person" });
    await attention.getByRole("link", { name: /unresolved/ }).click();
    await ann.getByRole("row", { name: /unresolved gmail\.send_email racer/ }).waitFor();
    await ann.getByRole("link", { name: "gmail.send_email" }).click();
    await ann.getByText("hash holds").waitFor();
    expect(new URL(ann.url()).pathname).toBe(`/decisions/${decisionId}`);
    await ann.getByText("mail-to-ann").first().waitFor();
    await ann.getByText("racer started it. Nobody can start it again.").waitFor();
    await ann.getByText(/The agent has not reported how it ended: look whether/).waitFor();
    expect(await headings(ann)).toEqual(["Asked", "Judged by", "Because", "Started", "Ended", "Recorded", "Proven"]);

    await ann.getByRole("button", { name: "Resolve by hand" }).click();
    await ann.getByLabel("Outcome").selectOption("succeeded");
    await ann.getByLabel("Comment").fill("it is in her mailbox, once");
    await ann.getByRole("button", { name: "Resolve it" }).click();
    await ann.getByText("ann resolved it by hand: it is in her mailbox, once").waitFor();
    expect(runMailAgent(mail).told).toMatchObject({ error: "AlreadyStartedError", outcome: "succeeded" });
    expect(mailsIn(mailbox)).toEqual([decisionId]);
  });

  const reviewOf = async (reviewer: Reviewer, decisionId: string): Promise<string> => {
    const { body } = await reviewer.call("ListReviews", {});
    const reviews = body["reviews"] as { readonly reviewId: string; readonly decisionId: string }[];
    return reviews.find((review) => review.decisionId === decisionId)?.reviewId ?? "";
  };
});

function writePolicies(): string {
  const directory = join(tempDir(), "policies");
  mkdirSync(directory);
  writeFileSync(join(directory, "executions.yaml"), POLICIES);
  return directory;
}
