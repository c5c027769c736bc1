/** This library as a client under test: JSON lines in, JSON lines out (docs/conformance.md). */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { DataCrawl, type DataCrawlOptions, type JsonObject, type Verdict } from "../src/index.ts";

interface Question {
  readonly case: string;
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

async function answer(question: Question): Promise<{ verdict: Verdict; elapsedMs: number }> {
  const { tool, payload, idempotencyKey } = question;
  const client = clientFor(question);
  const startedAt = performance.now();
  const verdict = await client.authorize({ tool, payload, idempotencyKey });
  return { verdict, elapsedMs: performance.now() - startedAt };
}

process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line) as Question;
  const { verdict, elapsedMs } = await answer(question);
  const { decision, reason, message } = verdict;
  process.stdout.write(`${JSON.stringify({ case: question.case, decision, reason, message, elapsedMs })}\n`);
}
