import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import { gunzipSync } from "node:zlib";
import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AuthorizeRequestSchema } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { systemClock } from "../../src/core/clock.ts";
import { type HostileServer, serveConformance } from "../src/serve.ts";
import { askOverHttp2, askOverTcp, type SeenFrame, wiretap } from "./support/wiretap.ts";

const PATH = "/datacrawl.authz.v1.AuthorizeService/Authorize";
const [DATA, HEADERS, RST_STREAM, GOAWAY] = [0, 1, 3, 7];
const END_STREAM = 1;
const NONCE = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");

let server: HostileServer;
beforeAll(async () => {
  server = await serveConformance({ grpcAddr: "127.0.0.1:0", connectAddr: "127.0.0.1:0", clock: systemClock });
});
afterAll(() => server.close());

const main = () => server.endpoints["main"] ?? { grpc: "", connect: "" };
const request = (name: string) =>
  create(AuthorizeRequestSchema, {
    tool: `conformance.${name}`,
    idempotencyKey: "Key-1",
    agentId: "agent-1",
    nonce: NONCE,
    payload: {},
  });

function enveloped(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** Everything that the server wrote in answer to `name`, on the first stream. */
async function grpcFrames(name: string, headers: Record<string, string> = {}, path = PATH): Promise<SeenFrame[]> {
  const tap = await wiretap(main().grpc);
  await askOverHttp2(tap.url, path, headers, enveloped(toBinary(AuthorizeRequestSchema, request(name))));
  const frames = tap.frames();
  await tap.close();
  return frames.filter(({ type, streamId }) => streamId === 1 || type === GOAWAY);
}

/** The bytes of the DATA frames. */
const dataOf = (frames: readonly SeenFrame[]) =>
  Buffer.concat(frames.filter(({ type }) => type === DATA).map(({ payload }) => payload));
const kinds = (frames: readonly SeenFrame[]) => frames.map(({ type }) => type);
const trailersOf = (frames: readonly SeenFrame[]) =>
  frames.findLast(({ type }) => type === HEADERS)?.payload.toString("latin1") ?? "";
/** A header as the kit writes it: a literal without indexing. */
const literal = (name: string, value: string) =>
  `\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`;

/** The answer to `name` as text, byte for byte. */
async function httpAnswer(
  name: string,
  codec: "proto" | "json",
  headers: Record<string, string> = {},
): Promise<string> {
  const body =
    codec === "json"
      ? Buffer.from(toJsonString(AuthorizeRequestSchema, request(name)))
      : Buffer.from(toBinary(AuthorizeRequestSchema, request(name)));
  const all = { host: "x", "content-type": `application/${codec}`, "content-length": String(body.length), ...headers };
  const head = [`POST ${PATH} HTTP/1.1`, ...Object.entries(all).map(([key, value]) => `${key}: ${value}`), "", ""].join(
    "\r\n",
  );
  return await askOverTcp(main().connect, head + body.toString("latin1"));
}

describe("what the server writes over HTTP/2", () => {
  test("a right answer names the question, and allows", async () => {
    const frames = await grpcFrames("control.plain");
    expect(kinds(frames)).toEqual([HEADERS, DATA, HEADERS]);
    const data = dataOf(frames);
    expect(data[0]).toBe(0);
    expect(data.readUInt32BE(1)).toBe(data.length - 5);
    for (const echo of ["agent-1", "conformance.control.plain", "Key-1"]) expect(data.includes(echo)).toBe(true);
    expect(data.includes(NONCE)).toBe(true);
    expect(data.subarray(-2).toString("hex")).toBe("7801");
    expect(trailersOf(frames)).toBe(literal("grpc-status", "0"));
    expect(frames.at(-1)?.flags).toBe(END_STREAM | 4);
  });

  test("the agent comes from the credential if the body has none", async () => {
    const tap = await wiretap(main().grpc);
    const body = enveloped(
      toBinary(AuthorizeRequestSchema, create(AuthorizeRequestSchema, { tool: "conformance.control.plain" })),
    );
    await askOverHttp2(tap.url, PATH, { authorization: "Bearer dc_agent_billing.7_0a1b2c3d4e5f_00" }, body);
    expect(tap.bytes().includes("billing.7")).toBe(true);
    await tap.close();
  });

  test.each([
    ["decision.absent", ""],
    ["decision.zero", "7800"],
    ["decision.two-to-32-plus-allow", "788180808010"],
    ["decision.minus-one", "78ffffffffffffffffff01"],
    ["decision.overlong-5", "788180808000"],
    ["wire-type.decision-fixed64", "790100000000000000"],
    ["wire-type.decision-len", "7a0101"],
    ["wire-type.decision-group", "7b78017c"],
    ["repeated.deny-then-allow", "78027801"],
    ["repeated.allow-then-deny", "78017802"],
    ["message.then-open-group", "7801a306"],
    ["truncation.lost-001", "78"],
    ["bit-flip.decision-003", "7001"],
    ["bit-flip.decision-015", "7881"],
  ])("%s ends in %s after the source", async (name, hex) => {
    const data = dataOf(await grpcFrames(name));
    expect(data.subarray(data.lastIndexOf(Buffer.from("6001", "hex"))).toString("hex")).toBe(`6001${hex}`);
  });

  test("a flipped bit is one bit of the right answer", async () => {
    const [right, flipped] = [
      dataOf(await grpcFrames("bit-flip.nonce-016")),
      dataOf(await grpcFrames("bit-flip.nonce-017")),
    ];
    const differences = [...right].flatMap((byte, at) => (byte === flipped[at] ? [] : [byte ^ (flipped[at] ?? 0)]));
    // The tools differ in their last character (6 and 7), the nonces in bits 0 and 1 of their first byte.
    expect(differences).toEqual([0x01, 0x03]);
  });

  test.each([
    ["framing.flag-02", "02"],
    ["framing.flag-80", "80"],
    ["framing.flag-01-no-encoding", "01"],
  ])("%s has its flag", async (name, flag) => {
    expect(
      dataOf(await grpcFrames(name))
        .subarray(0, 1)
        .toString("hex"),
    ).toBe(flag);
  });

  test("lengths that lie", async () => {
    const more = dataOf(await grpcFrames("framing.length-one-more"));
    expect(more.readUInt32BE(1)).toBe(more.length - 4);
    const less = dataOf(await grpcFrames("framing.length-one-less"));
    expect(less.readUInt32BE(1)).toBe(less.length - 6);
  });

  test.each([
    ["trailers.status-hex", literal("grpc-status", "0x0")],
    ["trailers.status-empty", literal("grpc-status", "")],
    ["trailers.status-0-then-14", literal("grpc-status", "0") + literal("grpc-status", "14")],
    ["trailers.name-in-capitals", literal("Grpc-Status", "0")],
    ["status.permission-denied-after-allow", literal("grpc-status", "7")],
  ])("%s has its trailers, after an allow", async (name, trailers) => {
    const frames = await grpcFrames(name);
    expect(dataOf(frames).subarray(-2).toString("hex")).toBe("7801");
    expect(trailersOf(frames)).toBe(trailers);
  });

  test("no trailers means that DATA ends the stream", async () => {
    const frames = await grpcFrames("trailers.none");
    expect(kinds(frames)).toEqual([HEADERS, DATA]);
    expect(frames[1]?.flags).toBe(END_STREAM);
  });

  test("HTTP status and content type", async () => {
    expect((await grpcFrames("http-status.grpc-503"))[0]?.payload.toString("latin1")).toContain(
      literal(":status", "503"),
    );
    expect((await grpcFrames("content-type.grpc-html"))[0]?.payload.toString("latin1")).toContain(
      literal("content-type", "text/html"),
    );
    expect((await grpcFrames("content-type.grpc-missing"))[0]?.payload.toString("latin1")).not.toContain(
      "content-type",
    );
  });

  test("RST_STREAM and GOAWAY with their codes, at their phases", async () => {
    const reset = await grpcFrames("rst-stream.before-trailers-cancel");
    expect(kinds(reset)).toEqual([HEADERS, DATA, RST_STREAM]);
    expect(reset[2]?.payload.readUInt32BE(0)).toBe(8);
    const goaway = await grpcFrames("goaway.after-headers-enhance-your-calm");
    expect(kinds(goaway)).toEqual([HEADERS, GOAWAY]);
    expect(goaway[1]?.payload.toString("hex")).toBe("000000010000000b");
  });

  test("a connection that drops in a frame", async () => {
    const tap = await wiretap(main().grpc);
    await askOverHttp2(
      tap.url,
      PATH,
      {},
      enveloped(toBinary(AuthorizeRequestSchema, request("drop.grpc-reset-in-data-frame"))),
    );
    const last = tap.frames().at(-1);
    await tap.close();
    expect(last?.type).toBe(DATA);
    expect(last?.payload.subarray(-2).toString("hex")).not.toBe("7801");
  });

  test("a late answer waits for the deadline that the client told", async () => {
    expect(kinds(await grpcFrames("slow.just-late", { "grpc-timeout": "100m" }))).toEqual([HEADERS, DATA, HEADERS]);
    expect(kinds(await grpcFrames("slow.just-late", { "grpc-timeout": "10S" }))).toEqual([]);
    expect(kinds(await grpcFrames("slow.no-trailers", { "grpc-timeout": "100m" }))).toEqual([HEADERS, DATA]);
  });

  test("compression follows what the client advertised", async () => {
    const plain = dataOf(await grpcFrames("control-grpc.compressed-as-advertised"));
    expect(plain[0]).toBe(0);
    const gzipped = dataOf(
      await grpcFrames("control-grpc.compressed-as-advertised", { "grpc-accept-encoding": "identity,gzip" }),
    );
    expect(gzipped[0]).toBe(1);
    expect(gunzipSync(gzipped.subarray(5)).subarray(-2).toString("hex")).toBe("7801");
    const [headers] = await grpcFrames("compression.grpc-unadvertised", { "grpc-accept-encoding": "br" });
    expect(headers?.payload.toString("latin1")).toContain(literal("grpc-encoding", "deflate"));
  });

  test("half a frame keeps other answers waiting, and does not spoil them", async () => {
    const session = connectHttp2(main().grpc);
    const ask = (name: string) => {
      const stream = session.request({ ":method": "POST", ":path": PATH, "content-type": "application/grpc" });
      stream.on("error", () => {});
      stream.end(enveloped(toBinary(AuthorizeRequestSchema, request(name))));
      return stream;
    };
    const stalled = ask("slow.half-trailers");
    await once(stalled, "data");
    const other = ask("control.plain");
    const answered = once(other, "trailers");
    const first = await Promise.race([once(other, "response"), sleep(200, "nothing")]);
    expect(first).toBe("nothing");
    stalled.close(constants.NGHTTP2_CANCEL);
    other.resume();
    expect((await answered)[0]).toMatchObject({ "grpc-status": "0" });
    session.destroy();
  });

  test.each(["control-grpc.ping-amid", "control-grpc.settings-amid"])("a connection goes on after %s", async (name) => {
    const session = connectHttp2(main().grpc);
    for (const one of [name, name, "control.plain"]) {
      const stream = session.request({ ":method": "POST", ":path": PATH, "content-type": "application/grpc" });
      stream.end(enveloped(toBinary(AuthorizeRequestSchema, request(one))));
      stream.resume();
      const [trailers] = await once(stream, "trailers", { signal: AbortSignal.timeout(5000) });
      expect(trailers).toMatchObject({ "grpc-status": "0" });
    }
    session.destroy();
  });

  test("other methods and unknown cases are refused", async () => {
    const other = await grpcFrames("control.plain", {}, "/datacrawl.authz.v1.AuthorizeService/Other");
    expect(trailersOf(other)).toContain(literal("grpc-status", "12"));
    expect(trailersOf(await grpcFrames("no.such-case"))).toContain(literal("grpc-status", "3"));
    expect(trailersOf(await grpcFrames("json-value.decision-null"))).toContain(literal("grpc-status", "3"));
  });
});

describe("what the server writes over HTTP/1.1", () => {
  test("a right answer in JSON names the question, and allows", async () => {
    const answer = await httpAnswer("control.plain", "json");
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\ncontent-type: application\/json\r\n/);
    expect(JSON.parse(answer.slice(answer.indexOf("{")))).toMatchObject({
      agentId: "agent-1",
      tool: "conformance.control.plain",
      idempotencyKey: "Key-1",
      nonce: NONCE.toString("base64"),
      decision: "DECISION_ALLOW",
    });
  });

  test("a right answer in protobuf", async () => {
    const answer = await httpAnswer("control.plain", "proto");
    expect(answer).toContain("content-type: application/proto\r\n");
    expect(answer.endsWith("\x78\x01")).toBe(true);
  });

  test.each([
    ["json-value.decision-true", '"decision":true}'],
    ["json-value.decision-leading-zero", '"decision":01}'],
    ["json-name.decision-capitalized", '"Decision":"DECISION_ALLOW"}'],
    ["json-name.decision-allow-then-deny", '"decision":"DECISION_ALLOW","decision":"DECISION_DENY"}'],
    ["json-document.junk-after", '"decision":"DECISION_ALLOW"}x'],
    ["json-document.cut-brace", '"decision":"DECISION_ALLOW"'],
    ["agreement.allow-rule-denied", '"decision":"DECISION_ALLOW"}'],
  ])("%s ends in %s", async (name, end) => {
    expect((await httpAnswer(name, "json")).endsWith(end)).toBe(true);
  });

  test.each([
    ["http-status.connect-503", /^HTTP\/1\.1 503 [^]*DECISION_ALLOW/],
    ["http-status.redirect-307", /^HTTP\/1\.1 307 [^]*location: \/redirected\r\n/],
    ["content-type.connect-html", /content-type: text\/html\r\n[^]*DECISION_ALLOW/],
    ["http1.length-two", /content-length: \d{3}\r\ncontent-length: 5\r\n/],
    ["http1.length-negative", /content-length: -\d+\r\n/],
    ["http1.chunk-size-text", /\r\nzz\r\n\{/],
    ["control-http.chunk-per-byte", /\r\n1\r\n\{\r\n1\r\n"\r\n[^]*0\r\n\r\n$/],
    ["drop.http-end-in-status", /^HTTP\/1\.1 20$/],
    ["status.connect-unavailable", /^HTTP\/1\.1 503 [^]*\{"code":"unavailable","message":"no"\}$/],
    ["compression.http-unknown", /content-encoding: x-allow\r\n[^]*DECISION_ALLOW/],
  ])("%s", async (name, pattern) => {
    expect(await httpAnswer(name, "json")).toMatch(pattern);
  });

  test("a late answer waits for the deadline that the client told", async () => {
    expect(await httpAnswer("slow.http-just-late", "json", { "connect-timeout-ms": "100" })).toContain(
      "DECISION_ALLOW",
    );
    expect(await httpAnswer("slow.http-just-late", "json", { "connect-timeout-ms": "10000" })).toBe("");
  });

  test("a replay answers the question before this one", async () => {
    await httpAnswer("control.plain", "json");
    const replay = await httpAnswer("echo.replay-earlier-answer", "json");
    expect(replay).toContain('"tool":"conformance.control.plain"');
    expect(replay).not.toContain("replay-earlier-answer");
  });

  test("a redirection's target allows, whether the question comes along or not", async () => {
    await httpAnswer("http-status.redirect-303", "json");
    const followed = await askOverTcp(main().connect, "GET /redirected HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(followed).toMatch(/"tool":"conformance\.http-status\.redirect-303"[^]*DECISION_ALLOW/);
  });

  test("GET /endpoints tells every address", async () => {
    const answer = await askOverTcp(main().connect, "GET /endpoints HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(JSON.parse(answer.slice(answer.indexOf("{")))).toEqual({
      endpoints: server.endpoints,
      authority: server.authority,
    });
  });
});

/** What a TLS client that trusts the kit's authority makes of an address. */
const handshake = (endpoint: string): Promise<string> =>
  new Promise((resolve) => {
    const { hostname, port } = new URL(server.endpoints[endpoint]?.grpc ?? "");
    const socket = connectTls(
      {
        host: hostname,
        port: Number(port),
        servername: hostname === "localhost" ? hostname : "",
        ca: server.authority,
        ALPNProtocols: ["h2"],
      },
      () => {
        socket.destroy();
        resolve("trusted");
      },
    );
    socket.on("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code === undefined || error.code === "UNSPECIFIED" ? error.message : error.code);
    });
  });

describe("the other addresses", () => {
  test.each([
    ["tls-trusted", "trusted"],
    ["tls-1-3", "trusted"],
    ["tls-self-signed", "DEPTH_ZERO_SELF_SIGNED_CERT"],
    ["tls-unknown-authority", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
    ["tls-same-name-authority", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
    ["tls-expired", "CERT_HAS_EXPIRED"],
    ["tls-not-yet-valid", "CERT_NOT_YET_VALID"],
    ["tls-wrong-host", "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["tls-wrong-address", "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["tls-no-host", "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["tls-for-clients", "INVALID_PURPOSE"],
    ["tls-issued-by-leaf", "key usage does not include certificate signing"],
    ["tls-no-alpn", "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL"],
    ["tls-alert", "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE"],
    ["tls-reset", "ECONNRESET"],
  ])("%s: %s", async (endpoint, outcome) => expect(await handshake(endpoint)).toBe(outcome));

  test("the server will not listen where other machines can reach it", async () => {
    const open = { grpcAddr: "0.0.0.0:0", connectAddr: "127.0.0.1:0", clock: systemClock };
    await expect(serveConformance(open)).rejects.toThrow("not a loopback address");
  });
});
