import { connect, createServer, type Socket } from "node:net";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";

/** A frame as it stood on the wire. */
export interface SeenFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** A TCP relay that keeps every byte the server sent, so that tests see what no library shows. */
export interface Wiretap {
  readonly url: string;
  /** All bytes from the server, of all connections. */
  bytes(): Buffer;
  frames(): SeenFrame[];
  close(): Promise<void>;
}

export async function wiretap(target: string): Promise<Wiretap> {
  const { hostname, port } = new URL(target);
  const chunks: Buffer[] = [];
  const sockets = new Set<Socket>();
  const relay = createServer((client) => {
    const server = connect(Number(port), hostname);
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on("error", () => {});
    }
    client.pipe(server);
    server.on("data", (chunk) => {
      chunks.push(chunk);
      client.write(chunk);
    });
    server.on("close", () => client.destroy());
    client.on("close", () => server.destroy());
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  const address = relay.address();
  const own = typeof address === "object" ? address?.port : 0;
  return {
    url: `http://127.0.0.1:${own}`,
    bytes: () => Buffer.concat(chunks),
    frames: () => framesOf(Buffer.concat(chunks)),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => relay.close(resolve));
    },
  };
}

function framesOf(bytes: Buffer): SeenFrame[] {
  const frames: SeenFrame[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const payload = bytes.subarray(at + 9, at + 9 + length);
    frames.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      streamId: bytes.readUInt32BE(at + 5),
      payload,
    });
    at += 9 + length;
  }
  return frames;
}

/**
 * So many milliseconds of a process that runs. The server is in it too: while the machine gives it no time, nothing can arrive, and one
 * timer would end the wait before what is there has been read.
 */
async function turnsFor(milliseconds: number): Promise<void> {
  for (let waited = 0; waited < milliseconds; waited += 20) await sleep(20);
}

/** Sends one request and waits until the stream or the connection is over, however it ends, or for `forMs`. */
export async function askOverHttp2(
  url: string,
  path: string,
  headers: Record<string, string>,
  body: Buffer,
  forMs = 400,
): Promise<void> {
  const session: ClientHttp2Session = connectHttp2(url);
  await new Promise<void>((resolve) => {
    void turnsFor(forMs).then(resolve);
    session.on("error", () => resolve());
    session.on("close", () => resolve());
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    stream.on("error", () => {});
    stream.on("close", () => resolve());
    stream.resume();
    stream.end(body);
  });
  session.destroy();
}

/** Sends `request` over plain TCP and resolves to everything that came back until the end, or for `forMs`. */
export function askOverTcp(url: string, request: string, forMs = 400): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(port), hostname, () => socket.write(request));
    const finish = () => {
      socket.destroy();
      resolve(Buffer.concat(chunks).toString("latin1"));
    };
    void turnsFor(forMs).then(finish);
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", finish);
    socket.on("end", finish);
  });
}
