import type { ServerHttp2Stream } from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import {
  CircuitReportSchema,
  CircuitState,
  SyncGuardRequestSchema,
  SyncGuardResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { CircuitSnapshot } from "../../src/circuit/breaker.ts";
import { systemClock } from "../../../../src/core/clock.ts";
import { circuitReport, exchangeSync } from "../../src/sync/exchange.ts";
import { Transport } from "../../src/transport/transport.ts";
import { API_KEY, fail, reply, serveGrpc } from "../support/service.ts";

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

describe("one sync", () => {
  async function exchange(sync: (stream: ServerHttp2Stream) => void) {
    const service = await serveGrpc(() => {}, { sync });
    opened.push(() => service.stop());
    const transport = new Transport("grpc", {
      url: service.url,
      identity: { bearer: API_KEY, certificateFiles: null },
    });
    opened.push(() => transport.close());
    const request = create(SyncGuardRequestSchema, { journalId: "j" });
    return exchangeSync(transport, request, 300, systemClock);
  }

  it("brings what the service says", async () => {
    const said = create(SyncGuardResponseSchema, {
      recordedHashes: [Uint8Array.of(1, 2)],
      unverifiedGrants: ["a.b.c"],
    });
    const answer = exchange((stream) => reply(stream, toBinary(SyncGuardResponseSchema, said)));
    expect(await answer).toMatchObject({ recordedHashes: [Buffer.of(1, 2)], unverifiedGrants: ["a.b.c"] });
  });

  it("fails when there is no sound answer in time", async () => {
    await expect(exchange((stream) => fail(stream, 14, "down"))).rejects.toThrow("UNAVAILABLE: down");
    await expect(exchange((stream) => reply(stream, Uint8Array.of(0x0a, 5)))).rejects.toThrow(/./);
    await expect(exchange((stream) => reply(stream, new Uint8Array(0), 1))).rejects.toThrow("flag 1");
    await expect(exchange(() => {})).rejects.toThrow("no answer in time");
  });
});

it("a circuit is reported as it is, also at times with microseconds", () => {
  const circuit: CircuitSnapshot = {
    state: "open",
    cause: "local",
    consecutiveFailures: 5,
    openedLocally: true,
    openedAt: 1_780_000_000_123_457,
    nextProbeInMs: 1500.25,
    lastErrors: ["gone"],
  };
  const report = create(CircuitReportSchema, circuitReport(circuit, 1_780_000_001_000_001));
  expect(fromBinary(CircuitReportSchema, toBinary(CircuitReportSchema, report))).toMatchObject({
    state: CircuitState.OPEN,
    consecutiveFailures: 5,
    openedAt: { seconds: 1_780_000_000n, nanos: 123_457_000 },
    nextProbeAt: { seconds: 1_780_000_002n, nanos: 500_251_000 },
    lastErrors: ["gone"],
    cause: "local",
  });
  const closed = circuitReport({ ...circuit, state: "closed", cause: null, openedAt: null, nextProbeInMs: null }, 0);
  expect(create(CircuitReportSchema, closed)).toMatchObject({ state: CircuitState.CLOSED, cause: "" });
  expect(closed).not.toHaveProperty("openedAt");
});
