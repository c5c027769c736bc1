// Asks DataCrawl before it acts. Start the service with `npm start`, then: npx node examples/typescript/authorize.ts
import { readFileSync } from "node:fs";
import { AlreadyStartedError, DataCrawl, DeniedError } from "@datacrawl/client";

await using dc = new DataCrawl({
  url: process.env["DATACRAWL_URL"] ?? "http://127.0.0.1:7440",
  apiKey: process.env["DATACRAWL_API_KEY"] ?? readFileSync("data/demo-agent.key", "utf8").trim(),
  onVerdict: ({ decision, reason, replayed, message }) =>
    console.log(decision, reason, replayed ? "(replayed)" : "", message),
});

/** Runs only on an explicit allow, and once: an error, a timeout or an answer that is not understood means no. */
const sendEmail = dc.protect(
  "gmail.send_email",
  ({ to }: { to: string[] }) => console.log("sending the email to", to.join(", ")),
  {
    idempotencyKey: () => "example-send-1",
  },
);

try {
  await sendEmail({ to: ["ann@example.com"] });
} catch (error) {
  if (error instanceof DeniedError) console.log("not sending the email:", error.verdict.reason);
  else if (error instanceof AlreadyStartedError) console.log("not sending the email again:", error.message);
  else throw error;
}
