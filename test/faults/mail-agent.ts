// An agent's process, for tests that kill it: it sends one email, which is a line in the mailbox file, fsynced.
// Argument: a MailSpec as JSON. Prints what became of it as JSON, and ends.
import { fsyncSync, openSync, writeSync } from "node:fs";
import { DataCrawl } from "@datacrawl/client";

export interface MailSpec {
  readonly url: string;
  readonly apiKey: string;
  /** The file of sent mails: a decision id in each line. */
  readonly mailbox: string;
  readonly key: string;
}

const { url, apiKey, mailbox, key } = JSON.parse(process.argv[2] ?? "") as MailSpec;
await using dc = new DataCrawl({ url, apiKey });

const send = dc.protect(
  "gmail.send_email",
  (_: { to: string[]; subject: string; body: string }, { decisionId }) => {
    const file = openSync(mailbox, "a");
    writeSync(file, `${decisionId}\n`);
    fsyncSync(file);
  },
  { idempotencyKey: () => key },
);

const told = await send({ to: ["ann@example.com"], subject: "Hi", body: "Hello" }).then(
  () => ({ sent: true }),
  (error: Error & { execution?: { outcome: unknown; startedBy: unknown } }) => ({
    error: error.name,
    outcome: error.execution?.outcome,
    startedBy: error.execution?.startedBy,
  }),
);
process.stdout.write(JSON.stringify(told));
