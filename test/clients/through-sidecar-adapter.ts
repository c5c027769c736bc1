/**
 * An adapter of the conformance kit (docs/conformance.md) that puts a sidecar between the client under test and the server:
 *
 *     datacrawl conformance run --client "node test/clients/through-sidecar-adapter.ts COMMAND"
 *
 * COMMAND is the client's own adapter. Its questions have the field `sidecar` besides, the address of a sidecar that asks `url`.
 */
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type AdapterQuestion, startAdapter } from "../../conformance/src/adapter.ts";
import { loadSidecarConfig } from "../../src/sidecar/config.ts";
import { runSidecar, type Sidecar } from "../../src/sidecar/sidecar.ts";

const command = process.argv.slice(2).join(" ");
const client = startAdapter(command, process.env, process.cwd());
const dataDir = await mkdtemp(join(tmpdir(), "datacrawl-through-"));
/** By the URL that each asks. */
const sidecars = new Map<string, Sidecar>();
/** The client answers by its deadline; the runner waits longer. */
const PATIENCE_MS = 4000;

async function sidecarFor({ url, apiKey, caFile }: AdapterQuestion): Promise<string> {
  let sidecar = sidecars.get(url);
  if (sidecar === undefined) {
    const env = {
      DATACRAWL_URL: url,
      DATACRAWL_API_KEY: apiKey,
      DATACRAWL_CA_FILE: caFile,
      DATACRAWL_SIDECAR_GRPC_ADDR: "127.0.0.1:0",
      DATACRAWL_SIDECAR_CONNECT_ADDR: "127.0.0.1:0",
      DATACRAWL_SIDECAR_JOURNAL_DIR: join(dataDir, String(sidecars.size)),
      // The cases test how answers are read. An open circuit would read none.
      DATACRAWL_SIDECAR_CIRCUIT_FAILURES: "1000000",
      DATACRAWL_LOG_LEVEL: "silent",
    };
    sidecar = await runSidecar(loadSidecarConfig(env, dataDir));
    sidecars.set(url, sidecar);
  }
  const { grpc } = sidecar;
  if (!("port" in grpc)) throw new Error("the sidecar listens on a socket");
  return `127.0.0.1:${grpc.port}`;
}

process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line) as AdapterQuestion;
  const asked = { ...question, sidecar: await sidecarFor(question) };
  const answer = await client.ask(asked, question.deadlineMs + PATIENCE_MS);
  // A start that a sidecar has no answer to is a status for its caller, which does not say what the guard's reason was.
  const { reason, ...rest } = answer;
  const heard = question.method === "BeginExecution" ? rest : { reason, ...rest };
  process.stdout.write(`${JSON.stringify({ case: question.case, ...heard })}\n`);
}
await client.finish();
rmSync(dataDir, { recursive: true, force: true });
process.exit(0);
