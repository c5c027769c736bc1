import { once } from "node:events";
import { mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect as connectTcp, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import type { Message } from "@bufbuild/protobuf";
import { Code, createClient, type ServiceImpl } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { service as healthDefinition } from "grpc-health-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AdminService, AgentState } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { systemClock } from "../../src/core/clock.ts";
import { Fault, UsageError } from "../../src/core/fault.ts";
import { openAdminSocket } from "../../src/server/admin/listener.ts";
import type { AdminRpc } from "../../src/server/admin/service.ts";
import { openConnect } from "../../src/server/http/connect.ts";
import { openGrpc } from "../../src/server/grpc/grpc.ts";
import { connectError } from "../../src/server/codec/status.ts";
import { loadTls } from "../../src/server/tls.ts";
import { type TestClient, clientsTo, VALID } from "./ask.ts";
import { ANY_PORT, certificateFiles, tlsFiles, type Open, openListeners, portOf } from "./open.ts";

/** A listener that waits for all of its drain fails the test by the test's own time limit. */
const LONGER_THAN_A_TEST_MS = 200_000;
const HEALTH = grpc.makeGenericClientConstructor(healthDefinition, "Health");

let open: Open;
let clients: TestClient[];
let dir: string;
beforeEach(async () => {
  open = await openListeners();
  clients = clientsTo(open);
  dir = mkdtempSync(join(tmpdir(), "datacrawl-life-"));
});
afterEach(async () => {
  await open.close();
  rmSync(dir, { recursive: true });
});

describe("closing", () => {
  test("lets what is under way finish, and takes nothing new", async () => {
    const holding = clients.map(({ ask }) => ask({ ...VALID, tool: "hold" }));
    await expect.poll(() => open.handler.calls.length).toBe(clients.length);
    const listeners = [open.grpc, open.connect, open.grpcTls, open.connectTls];
    const closed = Promise.all(listeners.map((listener) => listener.close({ drainMs: LONGER_THAN_A_TEST_MS })));
    const refused = Promise.all(clientsTo(open).map(({ ask }) => ask(VALID, { timeoutMs: 1000 })));
    for (const outcome of await refused) expect(outcome).not.toHaveProperty("answer");
    open.handler.release();
    expect(await Promise.all(holding)).toEqual(clients.map(() => ({ answer: expect.anything() })));
    await closed;
  });

  test("cuts off what does not finish in time", async () => {
    const waiting = clients.map(({ ask }) => ask({ ...VALID, tool: "hold" }, { timeoutMs: 20_000 }));
    await expect.poll(() => open.handler.calls.length).toBe(clients.length);
    const listeners = [open.grpc, open.connect, open.grpcTls, open.connectTls];
    await Promise.all(listeners.map((listener) => listener.close({ drainMs: 200 })));
    for (const outcome of await Promise.all(waiting)) expect(outcome).not.toHaveProperty("answer");
  });

  test("does not wait for connections that carry nothing, or for watchers of health", async () => {
    const sockets = [connectTcp(portOf(open.grpc), "127.0.0.1"), connectTcp(portOf(open.connect), "127.0.0.1")];
    const tls = connectTls({
      port: portOf(open.connectTls),
      host: "127.0.0.1",
      ca: open.ca,
      ALPNProtocols: ["http/1.1"],
    });
    const client = new HEALTH(`127.0.0.1:${portOf(open.grpc)}`, grpc.credentials.createInsecure());
    const watch = client["Watch"]?.({ service: "" });
    const ended = new Promise<grpc.ServiceError>((resolve) => void watch.on("error", resolve));
    await Promise.all([once(watch, "data"), once(tls, "secureConnect")]);
    await Promise.all(
      [open.grpc, open.connect, open.connectTls].map((listener) => listener.close({ drainMs: LONGER_THAN_A_TEST_MS })),
    );
    expect(await ended).toMatchObject({ code: grpc.status.UNAVAILABLE });
    client.close();
    for (const socket of [...sockets, tls]) socket.destroy();
  });
});

describe("listening", () => {
  const shared = () => ({
    clock: systemClock,
    observer: open.metrics.observer,
    readiness: open.readiness,
    metrics: open.metrics,
    handlers: open.handler.handlers,
    tls: null,
  });

  test("on a port that is taken says which, and by what variable it is set", async () => {
    const port = portOf(open.grpc);
    const address = { ...ANY_PORT, port, variable: "DATACRAWL_GRPC_ADDR" } as const;
    const problems = [`127.0.0.1:${port} (DATACRAWL_GRPC_ADDR) is already in use`];
    await expect(openGrpc({ ...shared(), address })).rejects.toMatchObject({ problems });
    await expect(openConnect({ ...shared(), address })).rejects.toMatchObject({ problems });
  });

  test("on an address of another machine says so", async () => {
    const address = { kind: "tcp", host: "192.0.2.1", port: 0, variable: "X" } as const;
    await expect(openConnect({ ...shared(), address })).rejects.toThrow(
      "192.0.2.1:0 (X) is not an address of this machine",
    );
  });

  test("on Unix sockets opens them to their owner alone, and removes them", async () => {
    const paths = [join(dir, "grpc.sock"), join(dir, "connect.sock")] as const;
    const before = process.umask();
    const grpcListener = await openGrpc({ ...shared(), address: { kind: "unix", path: paths[0], variable: "X" } });
    const connectListener = await openConnect({
      ...shared(),
      address: { kind: "unix", path: paths[1], variable: "X" },
    });
    expect(process.umask()).toBe(before);
    for (const path of paths) expect(statSync(path).mode & 0o777).toBe(0o600);
    const client = new grpc.Client(`unix:${paths[0]}`, grpc.credentials.createInsecure());
    await new Promise<void>((resolve, reject) => {
      client.waitForReady(Date.now() + 5000, (error) => (error === undefined ? resolve() : reject(error)));
    });
    client.close();
    // Whatever name their callers give them: no browser reaches a Unix socket.
    expect(await statusOver(paths[1], "GET /healthz HTTP/1.1\r\nhost: sidecar.internal")).toBe("200");
    expect(await statusOver(paths[1], "GET /healthz HTTP/1.1\r\nhost: a\r\norigin: http://b")).toBe("403");
    await Promise.all([grpcListener, connectListener].map((listener) => listener.close({ drainMs: 1000 })));
    for (const path of paths) expect(() => statSync(path)).toThrow("ENOENT");
  });

  test("replaces the socket of a dead server, and neither a living one's nor another file", async () => {
    const path = join(dir, "admin.sock");
    await leaveDeadSocket(path);
    const first = await openAdminSocket(path, standIn);
    await expect(openAdminSocket(path, standIn)).rejects.toThrow(UsageError);
    await expect(openAdminSocket(path, standIn)).rejects.toThrow("is already in use");
    await first.close({ drainMs: 0 });
    writeFileSync(path, "mine");
    await expect(openAdminSocket(path, standIn)).rejects.toThrow("is already in use");
  });
});

describe("TLS", () => {
  test("reports every file that cannot be read, and a key of another certificate", async () => {
    const [one, other] = [certificateFiles(), certificateFiles()];
    await expect(loadTls(tlsFiles(join(dir, "a"), join(dir, "b")))).rejects.toMatchObject({
      problems: [
        expect.stringContaining(`DATACRAWL_TLS_CERT_FILE is ${join(dir, "a")}, which cannot be read`),
        expect.stringContaining(`DATACRAWL_TLS_KEY_FILE is ${join(dir, "b")}, which cannot be read`),
      ],
    });
    await expect(loadTls(tlsFiles(one.certFile, other.keyFile))).rejects.toThrow("are not a certificate and its key");
    await expect(loadTls(tlsFiles(one.keyFile, one.keyFile))).rejects.toThrow(UsageError);
    one.remove();
    other.remove();
  });

  test("takes a new certificate for new connections", async () => {
    const files = certificateFiles();
    const renewed = await loadTls(files);
    files.remove();
    for (const listener of [open.grpcTls, open.connectTls]) listener.setTls(renewed);
    for (const listener of [open.grpcTls, open.connectTls]) {
      const options = { port: portOf(listener), host: "127.0.0.1", ALPNProtocols: ["h2"] };
      await expect(handshake({ ...options, ca: files.ca })).resolves.toBe("h2");
      await expect(handshake({ ...options, ca: open.ca })).rejects.toThrow("self-signed");
    }
  });

  test("speaks HTTP/2 and, on the Connect port, HTTP/1.1 too", async () => {
    const options = { host: "127.0.0.1", ca: open.ca };
    expect(await handshake({ ...options, port: portOf(open.connectTls), ALPNProtocols: ["h2", "http/1.1"] })).toBe(
      "h2",
    );
    expect(await handshake({ ...options, port: portOf(open.connectTls), ALPNProtocols: ["http/1.1"] })).toBe(
      "http/1.1",
    );
    await expect(handshake({ ...options, port: portOf(open.grpcTls), ALPNProtocols: ["http/1.1"] })).rejects.toThrow(
      /ECONNRESET|disconnected|protocol/,
    );
  });
});

describe("the admin socket", () => {
  test("serves AdminService, strictly, and says faults as statuses", async () => {
    const path = join(dir, "admin.sock");
    const faults: string[] = [];
    const listener = await openAdminSocket(path, standIn, {
      clock: systemClock,
      turnedAway: async () => {},
      observer: {
        onStart() {},
        onEnd() {},
        onLateFault() {},
        onFault: (fault, method) => void faults.push(`${method} ${fault.code}`),
      },
    });
    const transport = { baseUrl: "http://admin", httpVersion: "1.1", nodeOptions: { socketPath: path } } as const;
    for (const useBinaryFormat of [true, false]) {
      const client = createClient(AdminService, createConnectTransport({ ...transport, useBinaryFormat }));
      expect(await client.createAgent({ agentId: "a" })).toMatchObject({
        agent: { agentId: "a", state: AgentState.ACTIVE },
        key: "k",
      });
      await expect(client.revokeAgent({ agentId: "a" })).rejects.toMatchObject({ code: Code.FailedPrecondition });
      await expect(client.freezeAgent({ agentId: "a", reason: "r" })).rejects.toMatchObject({
        code: Code.PermissionDenied,
      });
      await expect(client.listCircuits({})).rejects.toMatchObject({ code: Code.Unimplemented });
    }
    expect(await postTo(path, "CreateAgent", '{"agentid":"a"}')).toMatchObject({ code: "invalid_argument" });
    expect(await postTo(path, "CreateAgent", '{"agentId":"a","agentId":"b"}')).toMatchObject({
      code: "invalid_argument",
    });
    expect(new Set(faults)).toEqual(
      new Set([
        "RevokeAgent AGENT_REVOKED",
        "CreateAgent REQUEST_MALFORMED",
        "CreateAgent FIELD_INVALID",
        "FreezeAgent NOT_PERMITTED",
      ]),
    );
    await listener.close({ drainMs: 1000 });
  });
});

const adminStandIn: Partial<ServiceImpl<typeof AdminService>> = {
  createAgent: async ({ agentId }) => ({ agent: { agentId, state: AgentState.ACTIVE }, key: "k" }),
  revokeAgent: async () => {
    throw new Fault("AGENT_REVOKED", "It is revoked.");
  },
  freezeAgent: async () => {
    throw connectError(new Fault("NOT_PERMITTED", "No."));
  },
};
const standIn: AdminRpc[] = Object.values(AdminService.method).flatMap((method) => {
  const handle = adminStandIn[method.localName as keyof typeof adminStandIn] as
    | ((request: Message) => Promise<Message>)
    | undefined;
  return handle === undefined || method.methodKind !== "unary"
    ? []
    : [{ method, handle: async (read) => handle(read()) }];
});

function postTo(socketPath: string, method: string, body: string): Promise<unknown> {
  const path = `/datacrawl.authz.v1.AdminService/${method}`;
  const headers = { "content-type": "application/json" };
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method: "POST", headers }, (response) => {
      let received = "";
      response.on("data", (chunk: Buffer) => (received += chunk.toString()));
      response.on("end", () => resolve(JSON.parse(received)));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

/** The file of a socket whose server died without a word. */
async function leaveDeadSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(`${path}.x`, resolve));
  renameSync(`${path}.x`, path);
  await new Promise((resolve) => void server.close(resolve));
}

function handshake(options: ConnectionOptions): Promise<string | false | null> {
  return new Promise((resolve, reject) => {
    const socket = connectTls(options, () => {
      resolve(socket.alpnProtocol);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

/** The status of the answer to a request without a body. */
function statusOver(socketPath: string, head: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connectTcp(socketPath, () => socket.write(`${head}\r\nconnection: close\r\n\r\n`));
    socket.on("data", (chunk: Buffer) => (received += chunk.toString()));
    socket.on("close", () => resolve(received.split(" ")[1]));
    socket.on("error", reject);
  });
}
