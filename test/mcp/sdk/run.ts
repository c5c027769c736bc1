/**
 * Tries the proxy between the clients and the servers of MCP's SDKs: each client with each server, over each transport, in each version that both
 * speak. Exit status 1 if one of them gets or does anything but what the policies say. `test.sh` installs the SDKs and calls it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cli } from "../../support/cli.ts";
import { freePort, waitUntil } from "../../support/net.ts";
import { endProcess, ownDirectory, ownProcess, releaseOwned } from "../../support/owned.ts";
import { cleanEnv, demoKey, type Env, startService } from "../../support/service.ts";

const HERE = import.meta.dirname;
const BIN = join(HERE, "../../../bin/datacrawl.js");
/** How each SDK's programs are started. */
const LANGUAGES = {
  typescript: (name: string) => [process.execPath, join(HERE, `${name}.mjs`)],
  python: (name: string) => [join(HERE, ".venv/bin/python"), join(HERE, `${name}.py`)],
} as const;
type Language = keyof typeof LANGUAGES;

interface Case {
  readonly client: Language;
  readonly server: Language;
  readonly transport: "stdio" | "http";
  readonly version: string;
}

/** The client for Python offers only the newest version that begins with a handshake. */
const VERSIONS = { typescript: ["2026-07-28", "2025-11-25", "2025-06-18"], python: ["2026-07-28", "2025-11-25"] };
const CASES: readonly Case[] = (["typescript", "python"] as const).flatMap((client) =>
  (["typescript", "python"] as const).flatMap((server) =>
    (["stdio", "http"] as const).flatMap((transport) =>
      VERSIONS[client].map((version) => ({ client, server, transport, version })),
    ),
  ),
);

/** What the client has printed. */
interface Seen {
  readonly version: string;
  readonly tools: readonly string[];
  readonly results: readonly { readonly isError: boolean; readonly text: string }[];
  readonly asked: string;
  readonly progress: readonly string[];
  readonly cancelled: readonly string[];
  readonly dropped: string;
  readonly read: readonly string[];
}

function start(words: readonly string[], env: Env): ChildProcess {
  const [file = "", ...args] = words;
  return ownProcess(spawn(file, args, { env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] }));
}

function outputOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let [out, err] = ["", ""];
    child.stdout?.on("data", (chunk: Buffer) => (out += chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => (err += chunk.toString()));
    child.once("close", (code, signal) => (code === 0 ? resolve(out) : reject(new Error(`${code ?? signal}: ${err}`))));
  });
}

const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.on("error", () => resolve(false)).on("connect", () => socket.destroy());
  });
const untilListening = (port: number): Promise<void> =>
  waitUntil(() => isListening(port), 60_000, `nothing listens on ${port}`);

/** What is wrong; empty if nothing is. */
async function tryCase({ client, server, transport, version }: Case, env: Env): Promise<string[]> {
  const calls = join(ownDirectory(mkdtempSync(join(tmpdir(), "datacrawl-mcp-"))), "calls");
  const isFiltered = client === server;
  const proxy = [process.execPath, BIN, "mcp", "--name", "stripe", "--review-wait", "0"];
  if (isFiltered) proxy.push("--list-filter");
  const running: ChildProcess[] = [];
  let target = [...proxy, "--", ...LANGUAGES[server]("server"), "stdio", calls];
  if (transport === "http") {
    const [port, listen] = [await freePort(), await freePort()];
    running.push(start([...LANGUAGES[server]("server"), String(port), calls], {}));
    running.push(start([...proxy, "--url", `http://127.0.0.1:${port}/mcp`, "--listen", `127.0.0.1:${listen}`], env));
    await Promise.all([untilListening(port), untilListening(listen)]);
    target = [`http://127.0.0.1:${listen}/mcp`];
  }
  try {
    const seen = JSON.parse(await outputOf(start([...LANGUAGES[client]("client"), version, ...target], env))) as Seen;
    const [allowed, review, denied] = seen.results;
    const expectations: readonly [string, boolean][] = [
      ["it spoke another version", seen.version === version],
      ["it did not find the tool", seen.tools.includes("refund")],
      ["the allowed call failed", allowed?.isError === false && allowed.text === "refunded 50 EUR"],
      ["the call under review was not denied", review?.isError === true && review.text.includes("REVIEW_PENDING")],
      ["the denied call was not denied", denied?.isError === true && denied.text.includes("RULE_DENIED")],
      ["the list of tools is another one", seen.tools.includes("hidden") === !isFiltered],
      ["the server's questions were not answered", seen.asked === "ann tea file:///home"],
      ["progress is missing", seen.progress.join() === "step 1,step 2,counted"],
      ["the server did not hear of the cancellation", seen.cancelled.join() === "left,cancelled"],
      ["the answer on a stream that was dropped did not come", seen.dropped === "resumed"],
      ["resources or prompts differ", seen.read.join() === "note://one,a note,greet,Hello ann"],
      ["the server got other calls", existsSync(calls) && readFileSync(calls, "utf8") === "50 EUR\n"],
    ];
    return expectations.filter(([, holds]) => !holds).map(([problem]) => `${problem}: ${JSON.stringify(seen)}`);
  } catch (error) {
    return [String(error)];
  } finally {
    const [serverProcess, proxyProcess] = running;
    // Asked to end, it first reports what has ended.
    if (proxyProcess !== undefined) await endProcess(proxyProcess, "SIGTERM");
    serverProcess?.kill("SIGKILL");
  }
}

interface Listed {
  readonly tool: string;
  readonly outcome: string | null;
  readonly errorCode: string | null;
}

/** Which calls of all cases were not recorded as they ended. */
async function wrongExecutions(): Promise<string[]> {
  const { stdout } = await cli(["execution", "list", "--all", "--json"], { DATACRAWL_DATA_DIR: service.dataDir });
  const executions = JSON.parse(stdout) as Listed[];
  const ended = executions.map(({ tool, outcome, errorCode }) => `${tool} ${outcome} ${errorCode}`);
  const names = ["ask", "count", "drop", "ended", "enough", "refund"];
  const expected = new Map(names.map((name) => [`stripe.${name} succeeded null`, CASES.length]));
  expected.set("stripe.wait unknown CANCELLED", CASES.length);
  // Each round is a call of its own.
  expected.set("stripe.ask succeeded null", CASES.length + CASES.filter(({ version }) => version >= "2026").length);
  const problems = [...new Set(ended)].filter((one) => !expected.has(one)).map((one) => `an execution: ${one}`);
  for (const [one, count] of expected) {
    const found = ended.filter((other) => other === one).length;
    if (found !== count) problems.push(`${found} executions instead of ${count}: ${one}`);
  }
  return problems;
}

const policies = ownDirectory(mkdtempSync(join(tmpdir(), "datacrawl-mcp-")));
copyFileSync(join(HERE, "../../../policies/payments.yaml"), join(policies, "payments.yaml"));
const FREE = "stripe.ask, stripe.count, stripe.enough, stripe.wait, stripe.ended, stripe.drop";
writeFileSync(join(policies, "free.yaml"), `rules: [{ id: free, tools: [${FREE}], effect: allow }]\n`);
const service = await startService({ DATACRAWL_POLICY_DIR: policies });
const env = { DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}`, DATACRAWL_API_KEY: demoKey(service.dataDir) };
const left = [...CASES];
let failures = 0;
async function work(): Promise<void> {
  for (let one = left.shift(); one !== undefined; one = left.shift()) {
    const problems = await tryCase(one, env);
    if (problems.length > 0) failures++;
    const { client, server, transport, version } = one;
    process.stdout.write(`${problems.length === 0 ? "ok  " : "FAIL"} ${version} ${transport} ${client} → ${server}\n`);
    for (const problem of problems) process.stdout.write(`     ${problem}\n`);
  }
}
await Promise.all([work(), work(), work()]);
const others = await wrongExecutions();
for (const problem of others) process.stdout.write(`FAIL ${problem}\n`);
await releaseOwned();
process.stdout.write(`${CASES.length - failures} of ${CASES.length} passed\n`);
process.exit(failures + others.length === 0 ? 0 : 1);
