// An agent's process, for tests that kill it: it acts only on an allow that it has started, and an action is a line in a file, fsynced,
// which it then reports.
// Argument: an ActorSpec as JSON. Prints "granted" when it knows a grant, "acted" when all its calls are answered; then it waits
// for a line on stdin, uploads its journal and ends.
import { fsyncSync, openSync, writeSync } from "node:fs";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { DataCrawl } from "@datacrawl/client";

export interface ActorSpec {
  readonly url: string;
  readonly apiKey: string;
  readonly journalDir: string;
  /** The file of actions: a decision id in each line. */
  readonly actions: string;
  /** Of the idempotency keys. */
  readonly name: string;
  /** How often it wants to act, two at a time. */
  readonly wishes: number;
}

const spec = JSON.parse(process.argv[2] ?? "") as ActorSpec;
const { url, apiKey, journalDir } = spec;
const dc = new DataCrawl({ url, apiKey, journalDir, circuit: { failures: 1, probeAfterMs: 600_000 } });
const file = openSync(spec.actions, "a");

async function wish(number: number): Promise<void> {
  const request = { tool: "gmail.send_email", payload: { number }, idempotencyKey: `${spec.name}-${number}` };
  const verdict = await dc.authorize(request);
  const start = await dc.begin(verdict);
  if (start.state !== "started") return;
  writeSync(file, `${start.decisionId}\n`);
  fsyncSync(file);
  await dc.report(start, "succeeded");
}

await dc.ready();
while (dc.status?.grant.grant === undefined || dc.status.grant.grant === null) await sleep(10);
process.stdout.write("granted\n");
// The first finds out that the service is dead.
if (spec.wishes > 0) await wish(0);
for (let number = 1; number <= spec.wishes; number += 2) await Promise.all([wish(number), wish(number + 1)]);
process.stdout.write("acted\n");
await once(process.stdin, "data");
await dc.close();
process.exit(0);
