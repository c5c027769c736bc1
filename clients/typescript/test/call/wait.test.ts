import { setTimeout as sleep } from "node:timers/promises";
import http2 from "node:http2";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import { Decision, Reason, Source } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import {
  type WatchDecisionRequest,
  WatchDecisionRequestSchema,
  WatchDecisionResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/watch_pb";
import { DataCrawl } from "../../src/index.ts";
import { API_KEY, fail, frame, run, type TestService } from "../support/service.ts";

const ID = "0198c0de-0000-7000-8000-00000000c0de";
type Fields = MessageInitShape<typeof WatchDecisionResponseSchema>;

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

interface Watched {
  readonly stream: http2.ServerHttp2Stream;
  readonly request: WatchDecisionRequest;
  /** 1 for the first. */
  readonly number: number;
}

/** A service whose WatchDecision answers as `respond` says, and a client of it. */
async function start(
  respond: (watched: Watched) => void,
): Promise<{ dc: DataCrawl; service: Omit<TestService, "requests"> }> {
  let number = 0;
  const server = http2.createServer();
  server.on("sessionError", () => {});
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      if (!headers[":path"]?.endsWith("/WatchDecision")) return fail(stream, 12);
      const request = fromBinary(WatchDecisionRequestSchema, Buffer.concat(chunks).subarray(5));
      respond({ stream, request, number: ++number });
    });
  });
  const service = await run(server);
  opened.push(() => service.stop());
  const dc = new DataCrawl({ url: service.url.origin, apiKey: API_KEY });
  opened.push(() => dc.close());
  return { dc, service };
}

function approved({ request }: Watched, spoiled: Fields = {}): Buffer {
  const fields: Fields = {
    decision: Decision.ALLOW,
    reason: Reason.REVIEW_APPROVED,
    source: Source.SERVICE,
    message: "A reviewer approved this call.",
    decisionId: request.decisionId,
    policyVersion: "sha256:test",
    replayed: true,
    decidedAt: { seconds: 1_780_000_000n, nanos: 0 },
    agentId: "agent-1",
    tool: "wire",
    idempotencyKey: "k-1",
    nonce: request.nonce,
  };
  return frame(
    toBinary(WatchDecisionResponseSchema, create(WatchDecisionResponseSchema, Object.assign(fields, spoiled))),
  );
}

const PENDING: Fields = { decision: Decision.NEEDS_REVIEW, reason: Reason.REVIEW_PENDING };
const pending = (watched: Watched): Buffer => approved(watched, PENDING);

function begin(stream: http2.ServerHttp2Stream, headers: http2.OutgoingHttpHeaders = {}, status = "0"): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc", ...headers }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
}

function end(stream: http2.ServerHttp2Stream, ...frames: Buffer[]): void {
  if (stream.destroyed) return;
  begin(stream);
  stream.end(Buffer.concat(frames));
}

describe("a wait for a review", () => {
  it("ends with what the stream ends with", async () => {
    const { dc } = await start((watched) => {
      begin(watched.stream);
      watched.stream.write(pending(watched));
      setTimeout(() => watched.stream.end(approved(watched)), 100);
    });
    expect(await dc.waitForReview(ID)).toEqual({
      allowed: true,
      decision: "allow",
      reason: "REVIEW_APPROVED",
      code: null,
      retryAfterMs: null,
      message: "A reviewer approved this call.",
      decisionId: ID,
      policyVersion: "sha256:test",
      ruleId: null,
      replayed: true,
      source: "service",
      decidedAt: new Date(1_780_000_000_000),
      tool: "wire",
      idempotencyKey: "k-1",
    });
  });

  it("begins again when a stream ends without a resolution, is broken off, or the service is away for a moment", async () => {
    const { dc } = await start((watched) => {
      const { stream, number } = watched;
      if (number === 1) end(stream, pending(watched));
      else if (number === 2) fail(stream, 14);
      else if (number === 3) {
        begin(stream);
        stream.write(pending(watched), () => stream.session?.destroy());
      } else end(stream, approved(watched));
    });
    expect(await dc.waitForReview(ID, { timeoutMs: 30_000 })).toMatchObject({ decision: "allow" });
  });

  it("that is over before people have decided says that they have not", async () => {
    const { dc } = await start((watched) => end(watched.stream, pending(watched)));
    const startedAt = performance.now();
    expect(await dc.waitForReview(ID, { timeoutMs: 800 })).toMatchObject({
      decision: "needs_review",
      source: "service",
      decisionId: ID,
    });
    expect(performance.now() - startedAt).toBeGreaterThan(700);
  });

  it.each<[string, (watched: Watched) => void]>([
    ["another decision", (w) => end(w.stream, approved(w, { decisionId: ID.replace("c0de", "c0df") }))],
    ["another agent", (w) => end(w.stream, approved(w, { agentId: "agent-2" }))],
    ["another attempt", (w) => end(w.stream, approved(w, { nonce: new Uint8Array(16) }))],
    ["a reason that disagrees", (w) => end(w.stream, approved(w, { reason: Reason.REVIEW_REJECTED }))],
    ["a guard's answer", (w) => end(w.stream, approved(w, { source: Source.GUARD }))],
    ["an allow and then something else", (w) => end(w.stream, approved(w), pending(w))],
    ["two allows", (w) => end(w.stream, approved(w), approved(w))],
    ["an allow behind nonsense", (w) => end(w.stream, frame(Buffer.of(0xff)), approved(w))],
    ["a compressed allow", (w) => end(w.stream, frame(approved(w).subarray(5), 1))],
    ["an allow with a byte more", (w) => end(w.stream, approved(w), Buffer.of(0))],
    [
      "an allow under HTTP 503",
      (w) => {
        begin(w.stream, { ":status": 503 });
        w.stream.end(approved(w));
      },
    ],
    [
      "an allow with status 13",
      (w) => {
        begin(w.stream, {}, "13");
        w.stream.end(approved(w));
      },
    ],
    [
      "an allow on a stream that does not end",
      (w) => {
        begin(w.stream);
        w.stream.write(approved(w));
      },
    ],
    [
      "an allow on a stream that is broken off",
      (w) => {
        begin(w.stream);
        w.stream.write(approved(w), () => w.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
      },
    ],
  ])("is not ended by %s", async (_name, respond) => {
    const { dc } = await start(respond);
    const verdict = await dc.waitForReview(ID, { timeoutMs: 500 });
    expect(verdict).toMatchObject({ decision: "deny", source: "guard", decisionId: ID });
  });

  it("is denied in time by a service that is not there, and leaves the circuit and the journal alone", async () => {
    const { dc, service } = await start(() => {});
    await service.stop();
    const [circuit] = [dc.circuit];
    const giveUp = new AbortController();
    const patient = dc.waitForReview(ID, { timeoutMs: 100_000, signal: giveUp.signal });
    let waitsOn = true;
    void patient.then(() => (waitsOn = false));
    expect(await dc.waitForReview(ID, { timeoutMs: 1500 })).toMatchObject({
      decision: "deny",
      reason: "SERVICE_UNAVAILABLE",
      decisionId: ID,
    });
    expect(waitsOn).toBe(true);
    giveUp.abort();
    await patient;
    expect(dc.circuit).toEqual(circuit);
    expect(dc.status?.journal).toEqual({ unsynced: 0, coalescedDenies: 0 });
  });

  it("is denied at once where asking again would not help", async () => {
    const { dc } = await start(({ stream }) => fail(stream, 5, "no such decision"));
    expect(await dc.waitForReview(ID, { timeoutMs: 60_000 })).toMatchObject({
      decision: "deny",
      reason: "REQUEST_REFUSED",
    });
    for (const wrong of ["", "x", `${ID}0`, 7, null, { toString: () => ID }])
      expect((await dc.waitForReview(wrong as string)).reason).toBe("REQUEST_REFUSED");
    for (const timeoutMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, "5"])
      expect((await dc.waitForReview(ID, { timeoutMs: timeoutMs as number })).reason).toBe("REQUEST_REFUSED");
  });

  it("ends when its caller cancels, and when the client is closed", async () => {
    const { dc } = await start(({ stream }) => begin(stream));
    const caller = new AbortController();
    const waits = [dc.waitForReview(ID, { signal: caller.signal }), dc.waitForReview(ID)];
    await sleep(100);
    caller.abort();
    expect(await waits[0]).toMatchObject({ decision: "deny", reason: "DEADLINE_EXCEEDED" });
    await dc.close();
    expect((await waits[1])?.decision).toBe("deny");
  });

  it("does not take the place of calls that ask", async () => {
    const { dc } = await start(({ stream }) => begin(stream));
    const caller = new AbortController();
    const waits = Array.from({ length: 150 }, () => dc.waitForReview(ID, { signal: caller.signal }));
    await sleep(200);
    // UNIMPLEMENTED, at once: not a deadline that passed in a queue.
    const verdict = await dc.authorize({ tool: "t" }, { timeoutMs: 10_000 });
    expect(verdict.reason).toBe("SERVICE_UNAVAILABLE");
    caller.abort();
    await Promise.all(waits);
  });
});
