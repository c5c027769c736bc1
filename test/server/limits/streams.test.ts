import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { create, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/core/clock.ts";
import { Fault } from "../../../src/core/fault.ts";
import { incompleteBodies } from "../../../src/server/limits/bodies.ts";
import type { Call } from "../../../src/authorize/call.ts";
import { openGrpcMethods } from "../../../src/server/grpc/grpc.ts";
import { RequestRules } from "../../../src/server/limits/request-rules.ts";
import { Readiness } from "../../../src/server/lifecycle/health.ts";
import { openHttp } from "../../../src/server/http/http.ts";
import { LIMITS } from "../../../src/server/limits/limits.ts";
import type { Listener } from "../../../src/server/listen.ts";
import { decodeBinary, decodeMessage } from "../../../src/server/codec/messages.ts";
import { createRpcHandler } from "../../../src/server/http/rpc.ts";
import { OpenStreams, yieldUntil } from "../../../src/server/limits/streams.ts";
import { loadTls } from "../../../src/server/tls.ts";
import { Notes, WATCH, WATCH_PATH } from "../notes.ts";
import { ANY_PORT, certificateFiles, portOf } from "../open.ts";

interface Note extends Message<"test.Note"> {
  readonly text: string;
}

/** The texts of a stream and how it ended. */
interface Watched {
  readonly texts: string[];
  readonly end: string;
}

interface WatchOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly onText?: (text: string) => void;
}

interface TestClient {
  readonly name: string;
  readonly watch: (text: string, options?: WatchOptions) => Promise<Watched>;
}

let listeners: { clear: Listener; tls: Listener; grpc: Listener };
let streams: OpenStreams;
let clients: TestClient[];
let faults: Fault[];
/** How many streams were told to end, whatever the reason. */
let ended: number;
let begun: number;

beforeEach(async () => {
  [ended, begun, faults] = [0, 0, []];
  streams = new OpenStreams();
  const observer = {
    onStart: nothing,
    onEnd: nothing,
    onFault: (fault: Fault) => void faults.push(fault),
    onLateFault: nothing,
  };
  const rules = new RequestRules({ address: ANY_PORT, encrypted: false, allowedHosts: [] });
  const ports = { clock: systemClock, observer, rules, bodies: incompleteBodies(), streams };
  const rpc = createRpcHandler(
    [{ method: WATCH, stream: ({ message, signal }) => notes(textOf(decodeMessage(WATCH.input, message())), signal) }],
    ports,
  );
  const files = certificateFiles();
  const secure = await loadTls(files);
  files.remove();
  const overGrpc = async function* ({ readBody, signal }: Call<string>): AsyncGenerator<Buffer> {
    for await (const note of notes(readBody(), signal))
      yield Buffer.from(toBinary(WATCH.output, create(WATCH.output, note)));
  };
  const readiness = new Readiness({});
  listeners = {
    clear: await openHttp(ANY_PORT, null, (request, response) => void rpc(request, response)),
    tls: await openHttp(ANY_PORT, secure, (request, response) => void rpc(request, response)),
    grpc: await openGrpcMethods(
      new Map([[WATCH_PATH, { decode: (bytes) => textOf(decodeBinary(WATCH.input, bytes)), stream: overGrpc }]]),
      ports,
      { address: ANY_PORT, tls: null, readiness },
    ),
  };
  clients = clientsTo(files.ca);
});
afterEach(async () => {
  await Promise.all(Object.values(listeners).map((listener) => listener.close({ drainMs: 0 })));
});

/** What the text asks for: `3` gives three notes, `wait` one and then none, `fault` one and then a fault. */
async function* notes(text: string, signal: AbortSignal): AsyncGenerator<{ text: string }> {
  begun++;
  try {
    if (text === "refuse") throw new Fault("NOT_PERMITTED", "Not you.");
    yield { text: "first" };
    if (text === "fault") throw new Fault("DECISION_UNKNOWN", "No such decision.", { field: "decision_id" });
    if (text === "throw") throw new Error("secret");
    if (text === "wait") await new Promise((resolve) => signal.addEventListener("abort", resolve));
    if (text === "flood") for (;;) yield { text: "x".repeat(65_536) };
    for (let count = 2; count <= Number(text); count++) yield { text: String(count) };
  } finally {
    ended++;
  }
}

describe("a stream, over every transport,", () => {
  test("brings every message and then its end", async () => {
    for (const { name, watch } of clients) {
      expect(await watch("3"), name).toEqual({ texts: ["first", "2", "3"], end: "end" });
    }
  });

  test("ends with the fault that it came to, and with a bland one for what is ours", async () => {
    for (const { name, watch } of clients) {
      expect(await watch("refuse"), name).toEqual({ texts: [], end: "PermissionDenied: Not you." });
      expect(await watch("fault"), name).toEqual({ texts: ["first"], end: "NotFound: No such decision." });
      const thrown = await watch("throw");
      expect(thrown.end, name).toMatch(/^Internal: The service failed/);
      expect(faults.at(-1)?.cause, name).toBeInstanceOf(Error);
    }
  });

  test("is told at once that its caller went away", async () => {
    for (const { name, watch } of clients) {
      const caller = new AbortController();
      const watched = await watch("wait", { signal: caller.signal, onText: () => caller.abort() });
      expect(watched.texts, name).toEqual(["first"]);
      await expect.poll(() => ended, { message: name }).toBe(begun);
    }
    expect(begun).toBe(clients.length);
  });

  test("ends at its caller's deadline", { tags: ["full"] }, async () => {
    for (const { name, watch } of clients) {
      const { texts, end } = await watch("wait", { timeoutMs: 700 });
      expect(texts, name).toEqual(["first"]);
      expect(end, name).toMatch(/^DeadlineExceeded/);
      await expect.poll(() => ended, { message: name }).toBe(begun);
    }
  });

  test("ends when the listener closes, and none begins any more", async () => {
    const watching = clients.map(({ watch }) => watch("wait"));
    await expect.poll(() => begun).toBe(clients.length);
    streams.end();
    // Longer than a test may take.
    const closing = Promise.all(Object.values(listeners).map((listener) => listener.close({ drainMs: 200_000 })));
    for (const { end } of await Promise.all(watching)) expect(end).toBe("Unavailable: The service is shutting down.");
    await closing;
    expect(ended).toBe(clients.length);
    expect(() => streams.add(new AbortController())).toThrow("shutting down");
  });

  test("is one of a bounded number", async () => {
    const others = Array.from({ length: LIMITS.streams }, () => new AbortController());
    for (const other of others) streams.add(other);
    for (const { name, watch } of clients) {
      expect((await watch("3")).end, name).toBe("ResourceExhausted: Too many streams are open.");
    }
    for (const other of others) other.abort();
    for (const { name, watch } of clients) expect((await watch("3")).end, name).toBe("end");
  });

  test("waits for a caller that does not read, and ends with its connection", async () => {
    const socket = connectTcp(portOf(listeners.clear), "127.0.0.1");
    const body = frame(JSON.stringify({ text: "flood" }));
    const path = `POST ${WATCH_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\n`;
    socket.write(`${path}Content-Length: ${body.length}\r\n\r\n`);
    socket.write(body);
    await once(socket, "readable");
    socket.pause();
    await expect.poll(() => begun).toBe(1);
    const before = process.memoryUsage().external;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(process.memoryUsage().external - before).toBeLessThan(100 * 1024 * 1024);
    socket.destroy();
    await expect.poll(() => ended).toBe(1);
  });

  test("has one whole request", async () => {
    const url = `http://127.0.0.1:${portOf(listeners.clear)}${WATCH_PATH}`;
    const ask = async (body: Buffer): Promise<string> => {
      const headers = { "content-type": "application/connect+json" };
      return (await fetch(url, { method: "POST", headers, body: new Uint8Array(body) })).text();
    };
    expect(await ask(frame('{"text":"2"}'))).toContain('"first"');
    for (const body of [
      Buffer.alloc(0),
      Buffer.concat([frame('{"text":"2"}'), frame("{}")]),
      frame("{").subarray(0, 4),
    ]) {
      expect(await ask(body)).toContain("invalid_argument");
    }
    expect(await ask(frame('{"tekst":"2"}'))).toContain("tekst");
    expect(begun).toBe(1);
  });
});

test("a source that is not asked for its next value is told to end too", async () => {
  const stop = new AbortController();
  const source = yieldUntil(notes("9", stop.signal), stop.signal);
  await source.next();
  stop.abort(new Fault("CANCELED", "Gone."));
  await expect.poll(() => ended).toBe(1);
  await expect(source.next()).rejects.toThrow("Gone.");
});

function clientsTo(ca: string): TestClient[] {
  const clear = { baseUrl: `http://127.0.0.1:${portOf(listeners.clear)}`, httpVersion: "1.1" } as const;
  const h2 = { baseUrl: `https://127.0.0.1:${portOf(listeners.tls)}`, httpVersion: "2", nodeOptions: { ca } } as const;
  const gzip = { sendCompression: compressionGzip, compressMinBytes: 0 };
  return [
    connectClient("Connect, JSON", createConnectTransport({ ...clear, useBinaryFormat: false })),
    connectClient("Connect, binary", createConnectTransport({ ...clear, useBinaryFormat: true })),
    connectClient("Connect, JSON, gzip", createConnectTransport({ ...clear, useBinaryFormat: false, ...gzip })),
    connectClient("Connect, TLS, HTTP/2", createConnectTransport({ ...h2, useBinaryFormat: true })),
    connectClient("gRPC-Web", createGrpcWebTransport({ ...clear, useBinaryFormat: true })),
    connectClient("gRPC-Web, JSON, gzip", createGrpcWebTransport({ ...clear, useBinaryFormat: false, ...gzip })),
    connectClient("gRPC on the Connect port", createGrpcTransport({ baseUrl: h2.baseUrl, nodeOptions: { ca } })),
    grpcClient(),
  ];
}

function connectClient(name: string, transport: Transport): TestClient {
  const client = createClient(Notes, transport) as unknown as Record<
    string,
    (request: object, options: object) => AsyncIterable<Note>
  >;
  return {
    name,
    watch: async (text, { onText, ...options } = {}) => {
      const texts: string[] = [];
      try {
        for await (const note of client["watch"]?.({ text }, options) ?? []) {
          texts.push(note.text);
          onText?.(note.text);
        }
        return { texts, end: "end" };
      } catch (error) {
        const { code, rawMessage } = ConnectError.from(error);
        return { texts, end: `${Code[code]}: ${rawMessage}` };
      }
    },
  };
}

function grpcClient(): TestClient {
  const client = new grpc.Client(`127.0.0.1:${portOf(listeners.grpc)}`, grpc.credentials.createInsecure());
  return {
    name: "gRPC",
    watch: (text, { timeoutMs, signal, onText } = {}) => {
      const request = Buffer.from(toBinary(WATCH.input, create(WATCH.input, { text })));
      const deadline = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
      const call = client.makeServerStreamRequest(WATCH_PATH, asIs, asIs, request, new grpc.Metadata(), deadline);
      signal?.addEventListener("abort", () => call.cancel());
      const texts: string[] = [];
      call.on("data", (bytes: Buffer) => {
        const note = textOf(fromBinary(WATCH.output, new Uint8Array(bytes)));
        texts.push(note);
        onText?.(note);
      });
      return new Promise((resolve) => {
        call.on("error", ({ code, details }: grpc.ServiceError) =>
          resolve({ texts, end: `${Code[code]}: ${details}` }),
        );
        call.on("end", () => resolve({ texts, end: "end" }));
      });
    },
  };
}

function textOf(message: Message): string {
  return (message as Note).text;
}

function frame(json: string): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(Buffer.byteLength(json), 1);
  return Buffer.concat([head, Buffer.from(json)]);
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

function nothing(): void {}
