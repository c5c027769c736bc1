import { getEventListeners } from "node:events";
import { createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { openRig, type Rig, type RigOptions } from "../support/guard.ts";
import {
  allowing,
  type Asked,
  frame,
  reply,
  run,
  serveConnect,
  serveGrpc,
  type TestService,
} from "../support/service.ts";

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one.close();
});

const yes = ({ stream, request }: Asked): void => reply(stream, allowing(request));

async function grpc(respond: (asked: Asked) => void, port?: number): Promise<TestService> {
  const service = await serveGrpc(respond, { port });
  opened.push({ close: () => service.stop() });
  return service;
}

async function rigFor(url: URL, options: Omit<RigOptions, "url"> = {}): Promise<Rig> {
  const rig = await openRig({ url, ...options });
  opened.push(rig);
  return rig;
}

/** A port that leads to `target`, but for connections that `intercept` takes. Numbers count from 1. */
async function detour(target: number, intercept: (socket: Socket, number: number) => boolean) {
  let number = 0;
  const { connect } = await import("node:net");
  const server = createServer((socket) => {
    if (intercept(socket, ++number)) return;
    const onward = connect(target, "127.0.0.1");
    socket.pipe(onward).pipe(socket);
    onward.on("error", () => socket.destroy());
    socket.on("close", () => onward.destroy());
  });
  const listening = await run(server);
  opened.push({ close: () => listening.stop() });
  return listening;
}

describe("a call that breaks off is asked again, on another connection", () => {
  const breaks: [string, (asked: Asked) => void][] = [
    ["before the headers", ({ stream }) => stream.session?.destroy()],
    [
      "between headers and data",
      ({ stream }) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" });
        setTimeout(() => stream.session?.destroy(), 20);
      },
    ],
    [
      "between data and trailers",
      ({ stream, request }) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" });
        stream.write(frame(allowing(request)));
        setTimeout(() => stream.session?.destroy(), 20);
      },
    ],
    ["by REFUSED_STREAM", ({ stream }) => stream.close(7)],
  ];
  it.each(breaks)("%s", async (_, breakOff) => {
    const service = await grpc((asked) => (asked.number === 1 ? breakOff(asked) : yes(asked)));
    const rig = await rigFor(service.url);
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    expect(service.requests).toHaveLength(2);
    expect(rig.breaker.snapshot.consecutiveFailures).toBe(0);
  });

  it("by GOAWAY that says that it was not looked at", async () => {
    const service = await grpc(yes);
    // SETTINGS, and GOAWAY without error whose last stream is 0: Node's own servers do not say that.
    const leave = Buffer.from("0000000400000000000000080700000000000000000000000000", "hex");
    const { url, connections } = await detour(service.port, (socket, number) => {
      if (number === 1) socket.once("data", () => socket.write(leave));
      return number === 1;
    });
    const rig = await rigFor(url);
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    expect(connections()).toBe(2);
  });

  it("over Connect", async () => {
    const service = await serveConnect((request, response, number) => {
      response.setHeader("content-type", "application/proto");
      if (number === 2) response.writeHead(200, { "content-length": 500 }).write("half");
      if (number <= 2) setTimeout(() => response.destroy(), 20);
      else response.end(allowing(request));
    });
    opened.push({ close: () => service.stop() });
    const rig = await rigFor(service.url, { transport: "connect" });
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    expect(service.requests).toHaveLength(3);
  });

  it("but not when the service itself broke it off", async () => {
    const service = await grpc(({ stream }) => stream.close(2));
    const rig = await rigFor(service.url);
    expect(await rig.ask()).toMatchObject({ reason: "SERVICE_UNAVAILABLE" });
    expect(service.requests).toHaveLength(1);
  });
});

it("is told of a port that speaks HTTP/1.1, as Connect's does, that it is no gRPC port", async () => {
  const service = await serveConnect(() => undefined);
  opened.push({ close: () => service.stop() });
  const rig = await rigFor(service.url);
  const verdict = await rig.ask();
  expect(verdict).toMatchObject({ decision: "deny", reason: "MALFORMED_RESPONSE" });
  expect(verdict.message).toContain("the port does not speak HTTP/2");
});

describe("the connection", () => {
  it("is left after GOAWAY, once its calls are done", async () => {
    const service = await grpc((asked) => {
      if (asked.request.tool === "last") asked.stream.session?.goaway(0, asked.stream.id ?? 0);
      setTimeout(() => yes(asked), 50);
    });
    const rig = await rigFor(service.url);
    expect(await Promise.all([rig.ask({ tool: "first" }), rig.ask({ tool: "last" })])).toMatchObject([
      { decision: "allow" },
      { decision: "allow" },
    ]);
    expect(await rig.ask({ tool: "next" })).toMatchObject({ decision: "allow" });
    expect(service.connections()).toBe(2);
  });

  it("is made anew after the service has come back", async () => {
    const first = await serveGrpc(yes);
    const rig = await rigFor(first.url);
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    await first.stop();
    expect(await rig.ask()).toMatchObject({ reason: "SERVICE_UNAVAILABLE" });
    await grpc(yes, first.port);
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
  });

  it("is given up when it is made and then nothing is heard on it", async () => {
    const service = await grpc(yes);
    const swallowed: Socket[] = [];
    const { url, connections } = await detour(
      service.port,
      (socket, number) => number === 1 && swallowed.push(socket) > 0,
    );
    const rig = await rigFor(url);
    expect(await rig.ask({}, { timeoutMs: 200 })).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    expect(connections()).toBe(2);
    await new Promise((resolve) => swallowed[0]?.on("close", resolve).resume());
  });

  it("is given up when nothing is heard on it any more, like on a route that has gone", async () => {
    const service = await grpc(yes);
    const sockets: Socket[] = [];
    const { url } = await detour(service.port, (socket) => sockets.push(socket) < 0);
    const rig = await rigFor(url);
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    sockets[0]?.unpipe().pause();
    expect(await rig.ask({}, { timeoutMs: 200 })).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    expect(sockets).toHaveLength(2);
    await new Promise((resolve) => sockets[0]?.on("close", resolve).resume());
  });

  it("is kept when the service is only slow", async () => {
    const service = await grpc((asked) => {
      asked.stream.session?.ping(() => {});
      setTimeout(() => yes(asked), asked.request.tool === "slow" ? 400 : 0);
    });
    const rig = await rigFor(service.url);
    expect(await rig.ask({ tool: "slow" }, { timeoutMs: 200 })).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    expect(service.connections()).toBe(1);
  });

  it("is not given up for a caller who cancels", async () => {
    const service = await grpc((asked) => (asked.request.tool === "slow" ? undefined : yes(asked)));
    const rig = await rigFor(service.url);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    await rig.ask({ tool: "slow" }, { signal: controller.signal });
    expect(await rig.ask()).toMatchObject({ decision: "allow" });
    expect(service.connections()).toBe(1);
  });

  it("is closed with the guard, also one that never stood", async () => {
    const held: Socket[] = [];
    const { url } = await detour(0, (socket) => held.push(socket) > 0);
    const rig = await openRig({ url });
    const asking = rig.ask({}, { timeoutMs: 5000 });
    await expect.poll(() => held.length).toBe(1);
    const closed = new Promise((resolve) => held[0]?.on("close", resolve).resume());
    await rig.close();
    expect(await asking).toMatchObject({ decision: "deny", reason: "SERVICE_UNAVAILABLE" });
    await closed;
  });

  it("may speak no HTTP/2", async () => {
    const { url } = await detour(0, (socket) => {
      socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
      return true;
    });
    const rig = await rigFor(url);
    expect(await rig.ask()).toMatchObject({ decision: "deny", reason: "MALFORMED_RESPONSE" });
  });

  it("may not come about", async () => {
    const gone = await serveGrpc(yes);
    await gone.stop();
    for (const transport of ["grpc", "connect"] as const) {
      const refused = await rigFor(gone.url, { transport });
      expect(await refused.ask()).toMatchObject({
        reason: "SERVICE_UNAVAILABLE",
        message: expect.stringContaining("ECONNREFUSED"),
      });
      const unresolvable = await rigFor(new URL("https://datacrawl.invalid"), { transport });
      expect(await unresolvable.ask()).toMatchObject({ decision: "deny", source: "guard" });
    }
  });
});

it("one caller's signal serves many calls without piling up listeners", async () => {
  const rig = await rigFor((await grpc(yes)).url);
  const { signal } = new AbortController();
  for (let n = 0; n < 3; n++) await rig.ask({ payload: { n } }, { signal });
  expect(getEventListeners(signal, "abort")).toEqual([]);
});
