import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cli } from "./cli.ts";
import type { Env } from "./service.ts";

export const REVIEWER_PASSWORD = "correct horse battery";

/** An account of the deployment, made over the socket. */
export async function addReviewer(name: string, env: Env, role = "reviewer"): Promise<void> {
  // A machine under load takes its time over a password.
  const add = ["operator", "add", name, "--role", role, "--password-stdin", "--timeout", "1m"];
  const { status, stderr } = await cli(add, env, REVIEWER_PASSWORD);
  if (status !== 0) throw new Error(`exit ${status}: ${stderr}`);
}

/** Somebody who has signed in at the admin port, or nobody. */
export interface Reviewer {
  /** Calls a method of AdminService, as JSON. */
  call(method: string, request: object): Promise<{ readonly status: number; readonly body: Record<string, unknown> }>;
}

export async function signInAs(name: string, adminUrl: string): Promise<Reviewer> {
  const response = await post(`${adminUrl}/datacrawl.authz.v1.SessionService/SignIn`, {
    name,
    password: REVIEWER_PASSWORD,
  });
  if (response.status !== 200) throw new Error(`${name} cannot sign in: ${await response.text()}`);
  const cookie = (response.headers.getSetCookie()[0] ?? "").split(";")[0] ?? "";
  return {
    call: async (method, request) => {
      const answered = await post(`${adminUrl}/datacrawl.authz.v1.AdminService/${method}`, request, { cookie });
      return { status: answered.status, body: (await answered.json()) as Record<string, unknown> };
    },
  };
}

/** Approves each review as soon as it opens, until `until` is aborted. */
export async function approveAll(reviewer: Reviewer, until: AbortSignal): Promise<void> {
  while (!until.aborted) {
    const { body } = await reviewer.call("ListReviews", { state: "REVIEW_STATE_OPEN" });
    for (const { reviewId } of (body["reviews"] ?? []) as { reviewId: string }[])
      await reviewer.call("ApproveReview", { reviewId, comment: "it is a test" });
    await sleep(300);
  }
}

function post(url: string, body: object, headers: Env = {}): Promise<Response> {
  const init = {
    method: "POST",
    headers: { "content-type": "application/json", "connect-timeout-ms": "30000", ...headers },
    body: JSON.stringify(body),
  };
  return fetch(url, init);
}

/** Rules that ask people, as files of a policy directory. */
export function writeReviewPolicies(directory: string, note = "as it was"): string {
  mkdirSync(directory, { recursive: true });
  const rule = (id: string, review: string) => `
  - id: ${id}
    description: ${note}
    tools: [${id}]
    effect: needs_review${review === "" ? "" : `\n    review: ${review}`}`;
  const rules = [
    rule("refund", ""),
    rule("wire", "{ approvers: 2 }"),
    rule("quick", "{ expires_after: 2s }"),
    rule("brief", "{ approval_for: 2s }"),
  ];
  writeFileSync(join(directory, "reviews.yaml"), `rules:${rules.join("")}\n`);
  return directory;
}
