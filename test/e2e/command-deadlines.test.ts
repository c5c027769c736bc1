// @module-tag full
import { createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { discard, type Env, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import { runBin } from "../support/process.ts";

/** Accepts connections, and never answers. */
async function silentServer(): Promise<{ readonly port: number; readonly close: () => void }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => void sockets.add(socket.on("error", () => {})));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: address.port, close };
}

const KEY = `dc_agent_demo_${"0".repeat(12)}_${"0".repeat(64)}`;
const QUESTION = ["authorize", "--tool", "shell.exec", "--payload", "{}"];

describe("authorize, of a service that takes the connection and says nothing", () => {
  let silent: Awaited<ReturnType<typeof silentServer>>;
  let env: Env;
  beforeAll(async () => {
    silent = await silentServer();
    env = { DATACRAWL_URL: `http://127.0.0.1:${silent.port}`, DATACRAWL_API_KEY: KEY, DATACRAWL_DATA_DIR: tempDir() };
  });
  afterAll(() => silent.close());

  test.each([
    [["--json"], 2],
    [["--json", "--timeout", "2s"], 2],
    [["--json", "--timeout", "2s", "--exit-2"], 2],
  ])("is denied, and the process ends: %j", async (flags, status) => {
    const ended = await runBin([...QUESTION, ...flags], { env });
    expect([ended.status, JSON.parse(ended.stdout)]).toEqual([
      status,
      expect.objectContaining({ decision: "deny", reason: "DEADLINE_EXCEEDED", source: "guard" }),
    ]);
  });

  test("is denied before the service is told of the deny, which it may not take either", async () => {
    const { stderr } = await runBin([...QUESTION, "--timeout", "2s"], { env, imports: [ORDER] });
    expect(stderr.trim().split("\n")).toEqual(["Authorize", "printed", "SyncGuard"]);
  });

  test.each(["499ms", "11m", "5"])("takes no timeout that makes no sense: %s", async (timeout) => {
    const ended = await runBin([...QUESTION, "--timeout", timeout], { env });
    expect([ended.status, ended.stdout]).toEqual([64, ""]);
  });
});

/** Says on stderr, at the end, in which order a command called methods of the service and printed. */
const ORDER = `data:text/javascript,${encodeURIComponent(`
  const http2 = process.getBuiltinModule("node:http2");
  const { connect } = http2;
  const { write } = process.stdout;
  const seen = [];
  http2.connect = (...args) => {
    const session = connect(...args);
    const { request } = session;
    session.request = (headers, ...rest) => {
      seen.push(headers[":path"].split("/").at(-1));
      return request.call(session, headers, ...rest);
    };
    return session;
  };
  process.stdout.write = (...args) => {
    if (!seen.includes("printed")) seen.push("printed");
    return write.apply(process.stdout, args);
  };
  process.on("exit", () => process.stderr.write(seen.join("\\n")));
`)}`;

/** What each says of itself when the service has been stopped in its tracks. */
const COMMANDS: readonly [string, RegExp][] = [
  ["overview", /did not answer within 1 s/],
  ["review list", /did not answer within 1 s/],
  ["agent freeze demo --reason x", /did not answer within 1 s.*Whether the change was made is unknown/],
  ["decision list --all", /did not answer within 1 s/],
  ["tail", /did not answer within 1 s/],
  ["audit export", /did not answer within 1 s/],
  ["audit verify", /did not answer within 1 s/],
  ["policy test-request --tool x --payload {}", /did not answer within 1 s/],
];

describe("commands that ask a service that has been stopped", { tags: ["full"] }, () => {
  let service: ServiceProcess;
  beforeAll(async () => {
    service = await startService();
    service.child.kill("SIGSTOP");
  });
  afterAll(async () => {
    service.child.kill("SIGCONT");
    await discard(service);
  });

  test.each(COMMANDS)("end with an error that names it, over the socket: %s", async (line, problem) => {
    const env = { DATACRAWL_DATA_DIR: service.dataDir };
    const { status, stderr } = await runBin([...line.split(" "), "--timeout", "1s"], { env });
    expect([status, stderr]).toEqual([1, expect.stringMatching(problem)]);
    expect(stderr).toContain(`the service at ${service.dataDir}/admin.sock`);
  });

  test.each(COMMANDS)("end with an error that names it, over the network: %s", async (line, problem) => {
    const env = { DATACRAWL_DATA_DIR: tempDir() };
    const { status, stderr } = await runBin(["--admin-url", service.adminUrl, "--timeout", "1s", ...line.split(" ")], {
      env,
    });
    expect([status, stderr]).toEqual([1, expect.stringMatching(problem)]);
    expect(stderr).toContain(`the service at ${service.adminUrl} `);
  });

  test("end when signing in is not answered", async () => {
    const line = `--as ann --password-stdin --timeout 1s --admin-url ${service.adminUrl} bypass list`;
    const { status, stderr } = await runBin(line.split(" "));
    expect([status, stderr]).toEqual([1, expect.stringContaining("did not answer within 1 s")]);
  });
});

test("with no service, how things are is a failure that says so, and other commands say whose word they are", {
  tags: ["full"],
  timeout: 180_000,
}, async () => {
  const service = await startService();
  await service.kill("SIGTERM");
  const env = { DATACRAWL_DATA_DIR: service.dataDir };
  const text = await runBin(["overview"], { env });
  expect([text.status, text.stdout]).toEqual([1, expect.stringContaining("service       DOES NOT ANSWER")]);
  const json = await runBin(["overview", "--json"], { env });
  expect([json.status, JSON.parse(json.stdout)]).toEqual([1, expect.objectContaining({ serviceAnswers: false })]);
  const agents = await runBin(["agent", "list"], { env });
  expect(agents).toMatchObject({ status: 0, stdout: expect.stringContaining("demo") });
  for (const { stderr } of [text, json, agents])
    expect(stderr).toBe(`datacrawl: no service listens at ${service.dataDir}/admin.sock: opening the store directly\n`);
  const order = await runBin(["circuit", "force-open", "demo", "--reason", "x"], { env });
  expect([order.status, order.stderr]).toEqual([0, expect.stringContaining("within 10 s after a service starts")]);
  await discard(service);
});
