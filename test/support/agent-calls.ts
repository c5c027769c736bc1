import { randomBytes } from "node:crypto";
import { type Asked, ask } from "./service.ts";

/** One call of an agent's RPC as JSON over HTTP; status 0 if no answer came. */
export async function callAgent(connectUrl: string, key: string, method: string, request: object): Promise<Asked> {
  try {
    const response = await fetch(`${connectUrl}/datacrawl.authz.v1.AuthorizeService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify(request),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  } catch (error) {
    return { status: 0, body: { error: String(error) } };
  }
}

/** A new nonce, as JSON has it. */
export function newNonce(): string {
  return randomBytes(16).toString("base64");
}

/** The id of a new decision that allows an email. */
export async function allowed(connectUrl: string, key: string, idempotencyKey: string): Promise<string> {
  const payload = { to: ["ann@example.com"], subject: idempotencyKey, body: "Hello" };
  const { body } = await ask(connectUrl, key, { tool: "gmail.send_email", payload, idempotencyKey });
  if (body["decision"] !== "DECISION_ALLOW") throw new Error(JSON.stringify(body));
  return String(body["decisionId"]);
}

/** Why a call was answered with a fault. */
export function reasonOf({ body }: Asked): string | undefined {
  const details = (body["details"] ?? []) as { debug?: { reason?: string } }[];
  return details.find(({ debug }) => debug?.reason !== undefined)?.debug?.reason;
}
