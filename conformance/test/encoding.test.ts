import { create, fromBinary, fromJsonString, toBinary } from "@bufbuild/protobuf";
import { X509Certificate } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AuthorizeRequestSchema,
  AuthorizeResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { systemClock } from "../../src/core/clock.ts";
import { allowing, toJson, toProto } from "../src/answer.ts";
import { CASES } from "../src/catalogue.ts";
import { certificate } from "../src/certificates.ts";
import { grpcTimeoutMs, type Question, readJson, readProto } from "../src/question.ts";

const text = fc.string({ unit: "grapheme", maxLength: 300 });
const nonce = fc.uint8Array({ maxLength: 20 });
const asked = fc.record({ tool: text, idempotencyKey: text, agentId: text, nonce });

const questionOf = (body: { tool: string; idempotencyKey: string; agentId: string; nonce: Uint8Array }): Question => ({
  ...body,
  method: "Authorize",
  decisionId: "",
  codec: "proto",
  accepts: [],
  deadlineMs: null,
  earlier: null,
});

describe("the kit's own encodings, against the generated code", () => {
  test("it reads the question that a generated encoder wrote", () => {
    fc.assert(
      fc.property(asked, (body) => {
        const request = create(AuthorizeRequestSchema, {
          ...body,
          payload: { amount: 5, to: ["a"], deep: { x: null } },
        });
        const read = readProto(toBinary(AuthorizeRequestSchema, request));
        expect({ ...read, nonce: [...read.nonce] }).toEqual({ ...body, nonce: [...body.nonce] });
      }),
    );
  });

  test("it reads the question from JSON, by both names", () => {
    const body = '{"tool":"t","idempotency_key":"k","agentId":"a","nonce":"AQI=","payload":{"tool":"no"}}';
    expect(readJson(Buffer.from(body))).toEqual({
      tool: "t",
      idempotencyKey: "k",
      agentId: "a",
      nonce: Uint8Array.of(1, 2),
    });
  });

  test("a right answer is what the generated decoders read, in both codecs", () => {
    fc.assert(
      fc.property(asked, (body) => {
        const answer = allowing(questionOf(body));
        const binary = fromBinary(AuthorizeResponseSchema, toProto(answer));
        expect(binary).toMatchObject({
          tool: body.tool,
          idempotencyKey: body.idempotencyKey,
          agentId: body.agentId,
          decision: 1,
        });
        expect(fromJsonString(AuthorizeResponseSchema, toJson(answer))).toEqual(binary);
      }),
    );
  });

  test("the families truncation and bit-flip reach every byte of what the runner asks", () => {
    const asking = {
      tool: "conformance.truncation.lost-001",
      idempotencyKey: "k".repeat(16),
      agentId: "conformance",
      nonce: new Uint8Array(16),
    };
    const cuts = CASES.filter(({ family }) => family === "truncation");
    expect(toProto(allowing(questionOf(asking))).length).toBeLessThanOrEqual(cuts.length);
    const flips = CASES.filter(({ name }) => name.startsWith("bit-flip.tool-"));
    expect(flips).toHaveLength((2 + "conformance.bit-flip.tool-000".length) * 8);
  });

  test("the decision is the last field", () => {
    const bytes = toProto(
      allowing(questionOf({ tool: "t", idempotencyKey: "k", agentId: "a", nonce: new Uint8Array(16) })),
    );
    expect([...bytes.subarray(-2)]).toEqual([0x78, 0x01]);
  });

  test.each([
    ["1S", 1000],
    ["250m", 250],
    ["1000000u", 1000],
    ["99999999n", 99.999999],
    ["1H", 3_600_000],
  ])("grpc-timeout %s", (header, ms) => expect(grpcTimeoutMs(header)).toBeCloseTo(ms));

  test.each([undefined, "", "5", "S", "123456789S", "5s"])("grpc-timeout %s tells no deadline", (header) => {
    expect(grpcTimeoutMs(header)).toBeNull();
  });

  test("a certificate says what it was asked to", () => {
    const now = systemClock.now() / 1000;
    const authority = certificate(now, { name: "An authority", authority: true });
    const leaf = certificate(now, {
      name: "localhost",
      issuer: authority,
      hosts: ["localhost", "127.0.0.1"],
      until: Date.UTC(2060, 0),
    });
    const [root, read] = [new X509Certificate(authority.certPem), new X509Certificate(leaf.certPem)];
    expect(root.ca).toBe(true);
    expect(read.ca).toBe(false);
    expect(read.checkIssued(root) && read.verify(root.publicKey)).toBe(true);
    expect(root.verify(read.publicKey)).toBe(false);
    expect(read.subjectAltName).toBe("DNS:localhost, IP Address:127.0.0.1");
    expect(read.validTo).toBe("Jan  1 00:00:00 2060 GMT");
    expect(read.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
  });
});
