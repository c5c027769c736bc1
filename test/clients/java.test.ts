// @module-tag full
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { certificate, type CertificateOptions } from "../../conformance/src/certificates.ts";
import { PATIENTLY, report } from "../../conformance/test/support/command.ts";
import { loadConfig } from "../../src/config.ts";
import { type Running, serve } from "../../src/server/lifecycle/serve.ts";
import { migratedEmbedded } from "../support/embedded.ts";
import { freePort } from "../support/net.ts";
import { ownProcess } from "../support/owned.ts";
import { addReviewer, approveAll, signInAs } from "../support/reviewers.ts";
import { cleanEnv, demoKey, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import { startSidecar } from "../support/sidecar.ts";

const CLIENT = join(import.meta.dirname, "../../clients/java");
const URI = "spiffe://example.org/agent/";

/** Maven and a JDK from 11 on; without them the suite is skipped, which is said, and under CI is a failure. */
function hasJava(): boolean {
  const found = ["mvn", "javac"].every((command) => spawnSync(command, ["-version"]).status === 0);
  if (found) return true;
  const missing = "no Maven or no JDK found: apt-get install maven default-jdk-headless";
  if (process.env["CI"] === "true") throw new Error(missing);
  process.stderr.write(`\nSKIPPED: ${missing}\n\n`);
  return false;
}

/** Runs Maven in clients/java to its end. */
async function maven(args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  const child = ownProcess(
    spawn("mvn", ["-B", "-ntp", ...args], { cwd: CLIENT, env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] }),
  );
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  if (code !== 0) throw new Error(`mvn ${args.join(" ")} exited with ${code}:\n${out}${err}`);
  return out;
}

/** A service over TLS with an agent `bot` that comes with a certificate. */
async function serveTls(directory: string): Promise<{ service: Running; env: Record<string, string> }> {
  const file = (name: string, content: string): string => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  const issue = (options: CertificateOptions) => certificate(Date.now(), options);
  const server = issue({ name: "localhost", hosts: ["localhost", "127.0.0.1"], usage: "server" });
  const authority = issue({ name: "agents", authority: true });
  const bot = issue({ name: "client", issuer: authority, hosts: [`${URI}bot`], usage: "client" });
  await migratedEmbedded(directory);
  const variables = {
    DATACRAWL_DATA_DIR: directory,
    DATACRAWL_GRPC_ADDR: "127.0.0.1:0",
    DATACRAWL_CONNECT_ADDR: "127.0.0.1:0",
    DATACRAWL_ADMIN_ADDR: "127.0.0.1:0",
    DATACRAWL_TLS_CERT_FILE: file("server.pem", server.certPem),
    DATACRAWL_TLS_KEY_FILE: file("server.key", server.keyPem),
    DATACRAWL_AGENT_CA_FILE: file("agents.pem", authority.certPem),
    DATACRAWL_AGENT_SAN: `${URI}{agent}`,
    DATACRAWL_LOG_LEVEL: "silent",
  };
  const service = await serve(loadConfig(variables, process.cwd(), true));
  const socket = createConnectTransport({
    baseUrl: "http://admin.sock",
    httpVersion: "1.1",
    nodeOptions: { socketPath: service.adminSocket },
  });
  await createClient(AdminService, socket).createAgent({ agentId: "bot", withoutKey: true });
  const { port } = service.grpc as { port: number };
  const env = {
    DATACRAWL_TEST_TLS_URL: `https://localhost:${port}`,
    DATACRAWL_TEST_TLS_CA: variables.DATACRAWL_TLS_CERT_FILE,
    DATACRAWL_TEST_CERT: file("bot.pem", bot.certPem),
    DATACRAWL_TEST_CERT_KEY: file("bot.key", bot.keyPem),
    DATACRAWL_TEST_OTHER_KEY: file("other.key", issue({ name: "other" }).keyPem),
  };
  return { service, env };
}

describe.skipIf(!hasJava())("the client for Java", () => {
  let service: ServiceProcess;
  let tls: Running;
  let env: Record<string, string>;
  const done = new AbortController();
  let approving: Promise<void> = Promise.resolve();

  beforeAll(async () => {
    const adminPort = await freePort();
    service = await startService({ DATACRAWL_ADMIN_ADDR: `127.0.0.1:${adminPort}` });
    const key = demoKey(service.dataDir);
    await addReviewer("ann", { DATACRAWL_DATA_DIR: service.dataDir });
    approving = approveAll(await signInAs("ann", service.adminUrl), done.signal);
    const socket = join(tempDir(), "sidecar.sock");
    const [sidecar] = await Promise.all([
      startSidecar(service.grpcPort, key),
      startSidecar(service.grpcPort, key, { DATACRAWL_SIDECAR_GRPC_ADDR: `unix:${socket}` }),
    ]);
    const lonely = await startSidecar(await freePort(), key, { DATACRAWL_SIDECAR_CIRCUIT_FAILURES: "2" });
    const secure = await serveTls(tempDir());
    tls = secure.service;
    env = {
      DATACRAWL_TEST_URL: `http://127.0.0.1:${service.grpcPort}`,
      DATACRAWL_TEST_KEY: key,
      DATACRAWL_TEST_SIDECAR: `127.0.0.1:${sidecar.grpcPort}`,
      DATACRAWL_TEST_SIDECAR_SOCKET: `unix:${socket}`,
      DATACRAWL_TEST_LONELY_SIDECAR: `127.0.0.1:${lonely.grpcPort}`,
      ...secure.env,
    };
    // Maven may have to fetch what it needs.
    await maven(["test-compile"], {});
  }, 600_000);
  afterAll(async () => {
    done.abort();
    await approving;
    await tls?.stop();
    await discard(service);
  });

  test("builds, and passes its own tests against the real service and its sidecar", { timeout: 900_000 }, async () => {
    const out = await maven(["verify"], env);
    const [, run, skipped] = /Tests run: (\d+), Failures: 0, Errors: 0, Skipped: (\d+)\n/.exec(out) ?? [];
    expect(Number(run)).toBeGreaterThan(600);
    expect(skipped).toBe("0");
  });

  const adapter = (): string => {
    const classes = ["target/classes", "target/test-classes"].map((path) => join(CLIENT, path));
    const classpath = [...classes, readFileSync(join(CLIENT, "target/test-classpath.txt"), "utf8").trim()].join(":");
    return `java -XX:TieredStopAtLevel=1 -cp ${classpath} dev.datacrawl.conformance.ClientAdapter`;
  };
  const throughSidecar = (): string => `${process.execPath} test/clients/through-sidecar-adapter.ts ${adapter()}`;

  // At once: a client waits most of the time, for servers that say nothing.
  test.concurrent.each([
    ["Authorize", "directly", 1852, adapter],
    ["Authorize", "through a sidecar", 1852, throughSidecar],
    ["BeginExecution", "directly", 1331, adapter],
    ["BeginExecution", "through a sidecar", 1331, throughSidecar],
  ])("is right in every case of %s, asked %s", { timeout: 900_000 }, async (method, _, cases, command) => {
    const { failures, passed } = await report(command(), "--transport", "grpc", "--method", method, ...PATIENTLY);
    expect(failures.map(({ case: name, problem }) => `${name}: ${problem}`)).toEqual([]);
    expect(passed).toBe(cases);
  });
});
