import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { type DescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import * as grpc from "@grpc/grpc-js";
import { service as healthDefinition } from "grpc-health-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Readiness } from "../../../src/server/lifecycle/health.ts";
import { LIMITS } from "../../../src/server/limits/limits.ts";
import { clientsTo, VALID } from "../ask.ts";
import { type Open, openListeners, portOf } from "../open.ts";
import { http, http2, openStream } from "../raw.ts";
import { field, text } from "../codec/wire-bytes.ts";

const HEALTH = grpc.makeGenericClientConstructor(healthDefinition, "Health");
const SERVICES = ["", "datacrawl.authz.v1.AuthorizeService"];

let open: Open;
beforeEach(async () => {
  open = await openListeners();
});
afterEach(async () => open.close());

function get(path: string) {
  return http(portOf(open.connect), { path, method: "GET" });
}

function healthOf(service: string): Promise<string> {
  const client = new HEALTH(`127.0.0.1:${portOf(open.grpc)}`, grpc.credentials.createInsecure());
  return new Promise((resolve, reject) => {
    client["Check"]?.({ service }, (error: grpc.ServiceError | null, answer: { status: string }) => {
      client.close();
      if (error === null) resolve(answer.status);
      else reject(error);
    });
  });
}

describe("health", () => {
  test("is served on both ports, and follows readiness", async () => {
    for (const service of SERVICES) expect(await healthOf(service)).toBe("SERVING");
    expect((await get("/healthz")).status).toBe(200);
    expect(JSON.parse((await get("/readyz")).body.toString())).toEqual({ ready: true, checks: { store: "ok" } });
    open.readiness.drain();
    for (const service of SERVICES) expect(await healthOf(service)).toBe("NOT_SERVING");
    const drained = await get("/readyz");
    expect(drained.status).toBe(503);
    expect(JSON.parse(drained.body.toString())).toEqual({ ready: false, checks: { service: "is shutting down" } });
    expect((await get("/healthz")).status).toBe(200);
  });

  test("knows no service that is not there", async () => {
    await expect(healthOf("datacrawl.authz.v1.AdminService")).rejects.toMatchObject({ code: grpc.status.NOT_FOUND });
  });

  test("pages answer GET and HEAD alone", async () => {
    expect((await http(portOf(open.connect), { path: "/healthz", method: "HEAD" })).status).toBe(200);
    expect((await http(portOf(open.connect), { path: "/healthz" })).status).toBe(405);
  });
});

test("health and reflection hold few unfinished requests of strangers, and none of them for long", {
  tags: ["full"],
}, async () => {
  const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
  const count = LIMITS.streams + 1;
  const sessions = Array.from({ length: Math.ceil(count / LIMITS.streamsPerConnection) }, () =>
    http2(portOf(open.grpc)),
  );
  const statuses = Array.from({ length: count }, (_, i) => {
    const stream = openStream(sessions[Math.floor(i / LIMITS.streamsPerConnection)] as ClientHttp2Session, {
      ":path": path,
    });
    stream.write(Buffer.from([0, 0, 15, 0, 0, 1]));
    return new Promise<number>((resolve) => {
      const tell = (headers: IncomingHttpHeaders): void => {
        if (headers["grpc-status"] !== undefined) resolve(Number(headers["grpc-status"]));
      };
      stream.on("response", tell).on("trailers", tell).on("error", nothing);
    });
  });
  const ended = (await Promise.all(statuses)).toSorted((a, b) => a - b);
  const { DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED } = grpc.status;
  expect(ended).toEqual([...Array.from({ length: LIMITS.streams }, () => DEADLINE_EXCEEDED), RESOURCE_EXHAUSTED]);
  // They have given their places back.
  expect(await healthOf("")).toBe("SERVING");
  for (const session of sessions) session.destroy();
});

describe("Readiness", () => {
  test("tells what is wrong, is wrong while a check throws or hangs, and recovers", async () => {
    let problem: string | null | Error = "has no bundle";
    const seen: boolean[] = [];
    const check = async () => {
      if (problem instanceof Error) throw problem;
      return problem;
    };
    const hanging = { once: true };
    const hangOnce = () => (hanging.once ? new Promise<null>(() => {}) : null);
    const readiness = new Readiness({ policy: check, store: hangOnce }, { intervalMs: 10, timeoutMs: 50 });
    readiness.subscribe((ready) => void seen.push(ready));
    expect(readiness.report).toEqual({ ready: false, checks: { service: "is starting" } });
    await readiness.start();
    expect(readiness.report).toEqual({
      ready: false,
      checks: { policy: "has no bundle", store: "gave no answer in time" },
    });
    hanging.once = false;
    problem = new Error("broken");
    await expect.poll(() => readiness.report.checks).toEqual({ policy: "broken", store: "ok" });
    problem = null;
    await expect.poll(() => readiness.report).toEqual({ ready: true, checks: { policy: "ok", store: "ok" } });
    problem = "gone";
    await expect.poll(() => readiness.report.ready).toBe(false);
    readiness.drain();
    expect(seen).toEqual([false, true, false]);
  });

  test("stays not ready once it drains, also if a round of checks was under way", async () => {
    const held = Promise.withResolvers<null>();
    const readiness = new Readiness({ slow: () => held.promise });
    const started = readiness.start();
    readiness.drain();
    held.resolve(null);
    await started;
    expect(readiness.report).toEqual({ ready: false, checks: { service: "is shutting down" } });
  });
});

describe("metrics", () => {
  test("have every series from the start, at 0", async () => {
    const page = (await get("/metrics")).body.toString();
    for (const line of [
      'datacrawl_step_seconds_count{step="remember"} 0',
      'datacrawl_decisions_total{decision="needs_review",reason="REVIEW_PENDING"} 0',
      'datacrawl_refused_total{code="QUEUE_FULL"} 0',
      'datacrawl_authentication_failures_total{code="CREDENTIAL_MISSING"} 0',
      "datacrawl_store_errors_total 0",
    ]) {
      expect(page).toContain(`\n${line}\n`);
    }
  });

  test("count decisions, refusals and what is under way, under names of ours alone", async () => {
    const holding = clientsTo(open).map(({ ask }) => ask({ ...VALID, tool: "hold" }));
    await expect.poll(async () => await open.metrics.metrics()).toContain(`datacrawl_in_flight ${holding.length}`);
    open.handler.release();
    await Promise.all(holding);
    await clientsTo(open)[0]?.ask({ ...VALID, tool: "" });
    open.metrics.step("record", 3);
    open.metrics.batch(32, 4);
    open.metrics.authenticationFailed("CREDENTIAL_UNKNOWN");
    open.metrics.storeError();
    open.metrics.watchQueue(() => 17);
    open.metrics.answered({ reason: "RULE_DENIED", replayed: true } as never);
    const page = (await get("/metrics")).body.toString();
    for (const line of [
      "datacrawl_in_flight 0",
      'datacrawl_refused_total{code="FIELD_INVALID"} 1',
      'datacrawl_step_seconds_bucket{le="0.005",step="record"} 1',
      'datacrawl_batch_rows_bucket{le="32"} 1',
      'datacrawl_authentication_failures_total{code="CREDENTIAL_UNKNOWN"} 1',
      "datacrawl_store_errors_total 1",
      "datacrawl_queue_depth 17",
      'datacrawl_decisions_total{decision="deny",reason="RULE_DENIED"} 1',
      "datacrawl_replays_total 1",
    ]) {
      expect(page).toContain(`\n${line}\n`);
    }
    expect(page).toContain("process_resident_memory_bytes");
    expect(page).not.toContain("gmail.send");
  });
});

describe("reflection", () => {
  test.each(["v1", "v1alpha"])("in %s lists what is served and describes it", async (version) => {
    const services = await reflectOver(version, field(7, text("*")), 6);
    const names = services.map((service) => Buffer.from(partsOf(service, 1)[0] as Uint8Array).toString());
    expect(names.toSorted()).toEqual(["datacrawl.authz.v1.AuthorizeService", "grpc.health.v1.Health"]);
    const files = await reflectOver(version, field(4, text("datacrawl.authz.v1.AuthorizeService")), 4);
    expect(files.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name).toSorted()).toEqual([
      "datacrawl/authz/v1/authorize_service.proto",
      "datacrawl/authz/v1/decision.proto",
      "datacrawl/authz/v1/execution.proto",
      "datacrawl/authz/v1/watch.proto",
      "google/protobuf/struct.proto",
      "google/protobuf/timestamp.proto",
    ]);
  });

  test.each(["grpc.health.v1.Health", "google.rpc.ErrorInfo"])(
    "describes %s so that grpcurl can use it",
    async (name) => {
      const files = (await reflectOver("v1", field(4, text(name)), 4)).map((b) =>
        fromBinary(FileDescriptorProtoSchema, b),
      );
      const maps = files.flatMap((file) => file.messageType.flatMap(mapsOf));
      expect(maps).not.toEqual([]);
      // As protoc names them: Go's protobuf takes no file where they are named otherwise.
      for (const { fieldName, entry } of maps)
        expect(entry).toBe(`${fieldName[0]?.toUpperCase()}${fieldName.slice(1)}Entry`);
    },
  );
});

/** Its map fields, and the names of their entries' types. */
function mapsOf({ field: fields, nestedType }: DescriptorProto): { fieldName: string; entry: string }[] {
  const entries = new Set(nestedType.filter((nested) => nested.options?.mapEntry).map((nested) => nested.name));
  return fields.flatMap(({ name, typeName }) => {
    const entry = typeName.slice(typeName.lastIndexOf(".") + 1);
    return entries.has(entry) ? [{ fieldName: name, entry }] : [];
  });
}

/** Asks grpc.reflection as grpcurl does, with one field of a request, and gives the answers' parts of one field's field. */
async function reflectOver(version: string, asked: Buffer, answered: number): Promise<Uint8Array[]> {
  const client = new grpc.Client(`127.0.0.1:${portOf(open.grpc)}`, grpc.credentials.createInsecure());
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
  const stream = client.makeBidiStreamRequest<Buffer, Buffer>(path, asIs, asIs);
  const answer = new Promise<Buffer>((resolve, reject) => void stream.on("data", resolve).on("error", reject));
  stream.write(asked);
  stream.end();
  const [response] = partsOf(await answer, answered);
  client.close();
  return partsOf(response as Uint8Array, 1);
}

/** The length-delimited fields of a number. */
function partsOf(message: Uint8Array, number: number): Uint8Array[] {
  const reader = new BinaryReader(message);
  const parts: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [no, type] = reader.tag();
    if (no === number) parts.push(reader.bytes());
    else reader.skip(type, no);
  }
  return parts;
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

function nothing(): void {}
