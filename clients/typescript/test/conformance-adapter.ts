/** This library as a client under test: JSON lines in, JSON lines out (docs/conformance.md). */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { DataCrawl, type DataCrawlOptions, type JsonObject, type Start, type Verdict } from "../src/index.ts";

interface Question {
  readonly case: string;
  readonly method: "Authorize" | "BeginExecution";
  readonly decisionId: string;
  readonly tool: string;
  readonly payload: JsonObject;
  readonly idempotencyKey: string;
  readonly url: string;
  readonly transport: "grpc" | "connect-proto";
  readonly apiKey: string;
  readonly caFile: string;
  readonly deadlineMs: number;
}

const clients = new Map<string, DataCrawl>();

function clientFor({ url, transport, apiKey, caFile, deadlineMs }: Question): DataCrawl {
  const options: DataCrawlOptions = {
    url,
    apiKey,
    transport: transport === "grpc" ? "grpc" : "connect",
    ca: readFileSync(caFile, "utf8"),
    timeoutMs: deadlineMs,
    // The cases test how answers are read; an open circuit would read none.
    circuit: { failures: 1_000_000 },
  };
  const client = clients.get(url) ?? new DataCrawl(options);
  clients.set(url, client);
  return client;
}

interface Answer {
  readonly decision: string;
  readonly reason: string;
  readonly message: string;
}

async function answer(question: Question): Promise<Answer> {
  const { method, tool, payload, idempotencyKey } = question;
  const client = clientFor(question);
  return method === "BeginExecution"
    ? started(await client.begin(allowOf(question)))
    : await client.authorize({ tool, payload, idempotencyKey });
}

/** A caller runs the tool if its start is started, and for no other state. */
function started(start: Start): Answer {
  const { message } = start;
  if (start.state === "started") return { decision: "allow", reason: "STARTED", message };
  return { decision: "deny", reason: start.state === "refused" ? start.reason : "ALREADY_STARTED", message };
}

/** What `begin` reads of a verdict. */
function allowOf({ decisionId }: Question): Verdict {
  return { decision: "allow", decisionId } as Verdict;
}

process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line) as Question;
  const startedAt = performance.now();
  const { decision, reason, message } = await answer(question);
  const elapsedMs = performance.now() - startedAt;
  process.stdout.write(`${JSON.stringify({ case: question.case, decision, reason, message, elapsedMs })}\n`);
}
