// Asks DataCrawl before it acts. Start the service with `npm start`, then: npx node examples/typescript/authorize.ts
import { readFileSync } from "node:fs";

const url = process.env["DATACRAWL_URL"] ?? "http://127.0.0.1:7441";
const key = process.env["DATACRAWL_API_KEY"] ?? readFileSync("data/demo-agent.key", "utf8").trim();

const payload = { to: ["ann@example.com"], subject: "Hi", body: "Hello" };

/** True only for an explicit allow: an error, a timeout or an answer that is not understood means no. */
async function mayI(tool: string, payload: unknown, idempotencyKey: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/datacrawl.authz.v1.AuthorizeService/Authorize`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify({ tool, payload, idempotencyKey }),
      signal: AbortSignal.timeout(5000),
    });
    const answer = (await response.json()) as {
      decision?: string;
      reason?: string;
      message?: string;
      replayed?: boolean;
    };
    console.log(
      response.status,
      answer.decision,
      answer.reason,
      answer.replayed === true ? "(replayed)" : "",
      answer.message,
    );
    return response.status === 200 && answer.decision === "DECISION_ALLOW";
  } catch (error) {
    console.log("no answer:", error instanceof Error ? error.message : error);
    return false;
  }
}

if (await mayI("gmail.send_email", payload, "example-send-1")) console.log("sending the email");
else console.log("not sending the email");
