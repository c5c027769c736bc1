import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Message, StdioClient } from "../mcp/support/stdio-client.ts";
import { freePort, waitUntil } from "../support/net.ts";
import { ownProcess } from "../support/owned.ts";
import { addReviewer, approveAll, signInAs } from "../support/reviewers.ts";
import { cleanEnv, demoKey, discard, type Env, type ServiceProcess, startService } from "../support/service.ts";

const BIN = join(import.meta.dirname, "../../bin/datacrawl.js");

const ALLOWED = { amount: 50, currency: "EUR" };
const REVIEWED = { amount: 250, currency: "EUR" };
const DENIED = { amount: 6000, currency: "EUR" };

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const untilDead = (pid: number): Promise<void> =>
  waitUntil(() => !isAlive(pid), 30_000, `process ${pid} is still there`);

describe("datacrawl mcp before a server on standard streams", () => {
  let service: ServiceProcess;
  let env: Env;
  beforeAll(async () => {
    service = await startService();
    env = { DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}`, DATACRAWL_API_KEY: demoKey(service.dataDir) };
  });
  afterAll(() => discard(service));

  test("forwards what is allowed and what is no call, answers what is denied, and ends with its client", async () => {
    const client = new StdioClient(env, [], "asks");
    client.send({ id: 0, method: "initialize", params: { protocolVersion: "2025-11-25" } });
    client.call(1, ALLOWED);
    client.call(2, DENIED);
    client.call(3, { amount: 50 });
    client.send({ id: 4, method: "tools/list" });
    // The server reads lines by Node's readline, which ends them at U+2028, too.
    const hidden = { jsonrpc: "2.0", id: 6, method: "tools/call", params: { name: "refund", arguments: DENIED } };
    client.send({ id: 5, method: "ping", params: { text: `\u2028${JSON.stringify(hidden)}\u2028` } });
    client.send({ id: "s1", result: { role: "assistant", content: { type: "text", text: "hi" }, model: "m" } });
    expect(await client.answer(0)).toMatchObject({ result: { protocolVersion: "2025-11-25" } });
    expect(await client.answer(1)).toMatchObject({
      result: { content: [{ text: expect.stringContaining("50") }], env: [] },
    });
    const denied = await client.answer(2);
    expect(denied.result?.isError).toBe(true);
    expect(denied.result?.content?.[0]?.text).toMatch(
      /^DataCrawl denied this call: .*refund-large.* \(RULE_DENIED, decision [0-9a-f-]{36}\)\.$/,
    );
    expect((await client.answer(4)).result).toHaveProperty("tools");
    expect((await client.answer(5)).result?.content?.[0]?.text).toContain("refund");
    expect(client.messages).toContainEqual(expect.objectContaining({ id: "s1", method: "sampling/createMessage" }));
    expect(client.received).toEqual([ALLOWED]);
    client.child.stdin?.end();
    expect(await client.exited).toEqual([0, null]);
    await untilDead(await client.serverPid());
  });

  test("hides tools that no rule allows from lists, if it is asked to, and calls are decided all the same", async () => {
    const client = new StdioClient(env, ["--list-filter"]);
    client.send({ id: 1, method: "tools/list" });
    const { result } = await client.answer(1);
    expect([result?.tools?.map(({ name }) => name), result?.cacheScope]).toEqual([["refund"], "private"]);
    client.call(2, ALLOWED);
    expect((await client.answer(2)).result?.isError).toBeUndefined();
    client.call(3, DENIED);
    expect((await client.answer(3)).result?.isError).toBe(true);
    expect(client.received).toEqual([ALLOWED]);
    client.child.kill("SIGKILL");
  });

  test("waits for people, with progress, and forwards what they approve", async () => {
    const adminEnv = { DATACRAWL_DATA_DIR: service.dataDir };
    await addReviewer("ann", adminEnv);
    const client = new StdioClient(env, ["--review-wait", "5m"]);
    client.call(1, REVIEWED, { _meta: { progressToken: 7 } });
    const notices = (): Message[] => client.messages.filter(({ method }) => method === "notifications/progress");
    await waitUntil(() => notices().length > 0, 30_000, "no progress");
    expect(notices()[0]?.params).toMatchObject({ progressToken: 7 });
    expect(client.received).toEqual([]);
    const approved = new AbortController();
    const approving = approveAll(await signInAs("ann", service.adminUrl), approved.signal);
    expect((await client.answer(1)).result?.isError).toBeUndefined();
    approved.abort();
    await approving;
    expect(client.received).toEqual([{ ...REVIEWED }]);
    client.child.kill("SIGKILL");
  });

  test("denies what people do not decide in time, and forwards it when it is repeated after they have", async () => {
    const client = new StdioClient(env, ["--review-wait", "0"]);
    const refund = { amount: 251, currency: "EUR" };
    client.call(1, refund);
    const text = (await client.answer(1)).result?.content?.[0]?.text ?? "";
    expect(text).toMatch(/has not decided yet.* \(REVIEW_PENDING, decision [0-9a-f-]{36}\)/);
    const [decisionId] = /[0-9a-f-]{36}/.exec(text) ?? [];
    const reviewer = await signInAs("ann", service.adminUrl);
    const { body } = await reviewer.call("ListReviews", { state: "REVIEW_STATE_OPEN" });
    const reviews = body["reviews"] as { reviewId: string; decisionId: string }[];
    const reviewId = reviews.find((review) => review.decisionId === decisionId)?.reviewId;
    expect((await reviewer.call("ApproveReview", { reviewId, comment: "a test" })).status).toBe(200);
    client.call(2, refund);
    expect((await client.answer(2)).result?.isError).toBeUndefined();
    client.call(3, refund);
    expect((await client.answer(3)).result?.isError).toBe(true);
    expect(client.received).toEqual([refund]);
    client.child.kill("SIGKILL");
  });

  test("answers what is in flight when the server is killed, and ends with status 1", async () => {
    const client = new StdioClient(env, [], "silent");
    client.call(1, ALLOWED);
    await waitUntil(() => client.received.length === 1, 30_000, "not forwarded");
    process.kill(await client.serverPid(), "SIGKILL");
    expect(await client.answer(1)).toMatchObject({
      error: { code: -32603, message: expect.stringContaining("SIGKILL") },
    });
    expect(await client.exited).toEqual([1, null]);
    await expect.poll(() => client.stderr).toContain("the MCP server was ended by SIGKILL");
  });

  test("leaves no server behind, whether it is asked to end or killed", async () => {
    const asked = new StdioClient(env, [], "stays");
    const pid = await asked.serverPid();
    asked.child.kill("SIGTERM");
    expect(await asked.exited).toEqual([0, null]);
    await untilDead(pid);
    const killed = new StdioClient(env);
    const other = await killed.serverPid();
    killed.child.kill("SIGKILL");
    await killed.exited;
    await untilDead(other);
  });

  test("says which command there is none of, and ends with status 1", async () => {
    const child = ownProcess(
      spawn(process.execPath, [BIN, "mcp", "--", "no-such-server"], {
        env: cleanEnv(env),
        stdio: ["pipe", "ignore", "pipe"],
      }),
    );
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const [status] = await once(child, "close");
    expect([status, stderr]).toEqual([1, expect.stringContaining("there is no command no-such-server")]);
  });
});

describe("datacrawl mcp before a server over HTTP", () => {
  let service: ServiceProcess;
  const received: unknown[] = [];
  const upstream = createHttpServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const { id, method, params } = JSON.parse(body) as Message;
      if (method === "tools/list") {
        response.setHeader("content-type", "text/event-stream");
        const tools = ["refund", "exec"].map((name) => ({ name, inputSchema: { type: "object" } }));
        return response.end(`id: 1\ndata: ${JSON.stringify({ jsonrpc: "2.0", id, result: { tools } })}\n\n`);
      }
      received.push(params?.["arguments"]);
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ jsonrpc: "2.0", id, result: { content: [] } }));
    });
  });
  beforeAll(async () => {
    service = await startService();
    upstream.listen(0, "127.0.0.1");
    await once(upstream, "listening");
  });
  afterAll(async () => {
    upstream.closeAllConnections();
    upstream.close();
    await discard(service);
  });

  test("forwards what is allowed, answers what is denied, filters lists, denies without the service, and stops", async () => {
    const { port } = upstream.address() as { port: number };
    const where = ["--url", `http://127.0.0.1:${port}/mcp`, "--listen", "127.0.0.1:0"];
    const args = ["mcp", "--name", "stripe", ...where, "--list-filter"];
    const env = { DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}`, DATACRAWL_API_KEY: demoKey(service.dataDir) };
    const child = ownProcess(
      spawn(process.execPath, [BIN, ...args], { env: cleanEnv(env), stdio: ["ignore", "pipe", "ignore"] }),
    );
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const [, proxyPort] = /is reached at 127\.0\.0\.1:(\d+)\/mcp\.$/.exec(line) ?? [];
    const post = (method: string, params: object): Promise<Response> => {
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
      const init = { method: "POST", headers: { "content-type": "application/json" }, body };
      return fetch(`http://127.0.0.1:${proxyPort}/mcp`, init);
    };
    const call = async (amount: object): Promise<Message> =>
      (await (await post("tools/call", { name: "refund", arguments: amount })).json()) as Message;
    const list = async (): Promise<Message> => {
      const text = await (await post("tools/list", {})).text();
      return JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? "null") as Message;
    };
    expect((await call(ALLOWED)).result).toEqual({ content: [] });
    expect((await call(DENIED)).result?.content?.[0]?.text).toContain("RULE_DENIED");
    expect((await list()).result?.tools?.map(({ name }) => name)).toEqual(["refund"]);
    await service.kill("SIGKILL");
    expect((await call(ALLOWED)).result?.isError).toBe(true);
    expect(await list()).toMatchObject({ id: 1, error: { code: -32603 } });
    expect(received).toEqual([ALLOWED]);
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  });
});

describe("datacrawl mcp without a service", () => {
  const key = `dc_agent_demo_${"0".repeat(12)}_${"0".repeat(64)}`;

  test("forwards no call, and everything else", async () => {
    const client = new StdioClient({ DATACRAWL_URL: `http://127.0.0.1:${await freePort()}`, DATACRAWL_API_KEY: key });
    for (let id = 1; id <= 6; id++) {
      client.call(id, ALLOWED);
      await client.answer(id);
    }
    client.send({ id: 7, method: "tools/list" });
    expect((await client.answer(7)).result).toHaveProperty("tools");
    const reasons = client.messages.map(
      ({ result }) => /\(([A-Z_]+), decision/.exec(result?.content?.[0]?.text ?? "")?.[1],
    );
    expect(reasons).toEqual([...Array(5).fill("SERVICE_UNAVAILABLE"), "CIRCUIT_OPEN", undefined]);
    expect(client.received).toEqual([]);
    client.child.kill("SIGKILL");
  });

  test("answers a list of tools with an error, if it is to be filtered", async () => {
    const env = { DATACRAWL_URL: `http://127.0.0.1:${await freePort()}`, DATACRAWL_API_KEY: key };
    const client = new StdioClient(env, ["--list-filter"]);
    client.send({ id: 1, method: "tools/list" });
    const { error } = await client.answer(1);
    expect(error).toMatchObject({ code: -32603, message: expect.stringContaining("List the tools again later") });
    client.child.kill("SIGKILL");
  });

  test("denies within its own time when the service is silent", async () => {
    const silent = createServer(() => {});
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as { port: number };
    const client = new StdioClient({ DATACRAWL_URL: `http://127.0.0.1:${port}`, DATACRAWL_API_KEY: key }, [
      "--timeout",
      "500ms",
    ]);
    client.call(1, ALLOWED);
    expect((await client.answer(1)).result?.content?.[0]?.text).toContain("DEADLINE_EXCEEDED");
    expect(client.received).toEqual([]);
    client.child.kill("SIGKILL");
    silent.close();
  });

  test("forwards no call after the service was killed", async () => {
    const service = await startService();
    const client = new StdioClient({
      DATACRAWL_URL: `http://127.0.0.1:${service.grpcPort}`,
      DATACRAWL_API_KEY: demoKey(service.dataDir),
    });
    client.call(1, ALLOWED);
    await client.answer(1);
    await service.kill("SIGKILL");
    client.call(2, ALLOWED);
    expect((await client.answer(2)).result?.isError).toBe(true);
    expect(client.received).toEqual([ALLOWED]);
    client.child.kill("SIGKILL");
    await discard(service);
  });
});
