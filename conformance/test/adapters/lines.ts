import { createInterface } from "node:readline";
import type { AdapterQuestion } from "../../src/adapter.ts";

export interface Heard {
  readonly decision: string;
  readonly reason?: string;
}

/** The adapter's side of the protocol (docs/conformance.md). A client that throws has not allowed. */
export async function answerQuestions(ask: (question: AdapterQuestion) => Promise<Heard>): Promise<void> {
  process.stdout.write('{"ready":true}\n');
  for await (const line of createInterface({ input: process.stdin })) {
    const question: AdapterQuestion = JSON.parse(line);
    const startedAt = performance.now();
    const heard = await ask(question).catch(() => ({ decision: "deny" }));
    const elapsedMs = performance.now() - startedAt;
    process.stdout.write(`${JSON.stringify({ case: question.case, ...heard, elapsedMs })}\n`);
  }
}
