import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ListCallableToolsResponseSchema } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { interpretCallableTools } from "../../src/call/callable-tools.ts";

const VERSION = `sha256:${"c0de".repeat(16)}`;
const RIGHT = { agentId: "agent-1", policyVersion: VERSION, tools: ["b", "a"] };
const encoded = (fields: Partial<typeof RIGHT>): Uint8Array =>
  toBinary(ListCallableToolsResponseSchema, create(ListCallableToolsResponseSchema, { ...RIGHT, ...fields }));
const read = (bytes: Uint8Array) =>
  interpretCallableTools(
    { kind: "messages", unverifiedMessages: [bytes] },
    { agentId: "agent-1", tools: new Set(["a", "b", "c"]) },
  );
/** A field of the wire type for bytes. */
const field = (number: number, text: string): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2, Buffer.byteLength(text)]), Buffer.from(text)]);

describe("an answer to ListCallableTools", () => {
  test("is read if it is about this agent and these tools, with fields that are not known passed over", () => {
    const answered = { kind: "answered", policyVersion: VERSION, tools: new Set(["a", "b"]) };
    expect(read(encoded({}))).toEqual(answered);
    expect(read(Buffer.concat([encoded({}), field(9, "later")]))).toEqual(answered);
    expect(read(encoded({ tools: [] }))).toEqual({ ...answered, tools: new Set() });
  });

  test.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(), /another agent/],
    ["another agent", encoded({ agentId: "agent-2" }), /another agent/],
    ["no policy version", encoded({ policyVersion: "" }), /policy version/],
    ["a policy version that is none", encoded({ policyVersion: "sha256:x" }), /policy version/],
    ["a tool that was not asked about", encoded({ tools: ["a", "d"] }), /not asked about/],
    ["an empty name", encoded({ tools: [""] }), /not asked about/],
    ["a tool twice", encoded({ tools: ["a", "a"] }), /a tool twice/],
    ["two agents", Buffer.concat([encoded({}), field(1, "agent-1")]), /occurs twice/],
    ["two policy versions", Buffer.concat([encoded({}), field(2, VERSION)]), /occurs twice/],
    ["a number for a tool", Buffer.concat([encoded({}), Buffer.from([3 << 3, 1])]), /another type/],
    ["text that is cut short", encoded({}).subarray(0, -1), /cut short/],
  ])("is malformed with %s", (_, bytes, problem) => {
    expect(read(bytes)).toMatchObject({ kind: "malformed", problem: expect.stringMatching(problem), saysNo: false });
  });

  test("never names a tool that was not asked about, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat({ max: 90 }), (noise, at) => {
        const bytes = encoded({});
        const heard = read(Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]));
        if (heard.kind === "answered") expect([..."abc"]).toEqual(expect.arrayContaining([...heard.tools]));
        else expect(heard.kind).toBe("malformed");
      }),
    );
  });

  test("is no answer where the transport has none", () => {
    const failure = { kind: "unavailable", problem: "down" } as const;
    expect(interpretCallableTools(failure, { agentId: "agent-1", tools: new Set() })).toBe(failure);
  });
});
