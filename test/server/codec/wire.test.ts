import { create, fromBinary, type JsonObject, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AuthorizeRequest,
  AuthorizeRequestSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import type { UnverifiedRequest } from "../../../src/core/request.ts";
import { Fault } from "../../../src/core/fault.ts";
import { decodeAuthorizeRequest } from "../../../src/server/codec/wire.ts";
import { doubleValue, field, fixed64, list, struct, text, varint, varintField } from "./wire-bytes.ts";

const name = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("__proto__", "constructor", "", "\u0000", "\u202e", "𝒳"),
);
const payload = fc.letrec<{ value: JsonObject[string]; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.oneof(name, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null)),
    fc.array(tie("value"), { maxLength: 4 }),
    tie("object"),
  ),
  object: fc
    .uniqueArray(fc.tuple(name, tie("value")), { selector: ([key]) => key, maxLength: 5 })
    .map((members) => Object.fromEntries(members)),
})).object;
const request: fc.Arbitrary<UnverifiedRequest> = fc.record({
  tool: name,
  payload,
  idempotencyKey: name,
  agentId: name,
  nonce: fc.uint8Array({ maxLength: 20 }),
  principal: fc.option(name),
  sessionId: fc.option(name),
});

describe("decodeAuthorizeRequest", () => {
  test("reads what protobuf-es writes", () => {
    fc.assert(
      fc.property(request, (asked) => {
        expect(decodeAuthorizeRequest(encode(asked))).toEqual(asked);
      }),
    );
  });

  test("keeps a member named __proto__ as a member", () => {
    const { payload: decoded } = decodeAuthorizeRequest(field(2, struct([["__proto__", field(3, text("x"))]])));
    expect(Object.keys(decoded)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
  });

  test("reads long messages and texts of every script", () => {
    const long = "x".repeat(5000);
    const asked = {
      tool: "héllo 🌍",
      payload: { long, ключ: ["日本", long] },
      idempotencyKey: long,
      agentId: "",
      nonce: new Uint8Array(16),
      principal: "日本",
      sessionId: long,
    };
    expect(decodeAuthorizeRequest(encode(asked))).toEqual(asked);
  });

  test("shares no memory with the bytes", () => {
    const bytes = encode({
      tool: "t",
      payload: { a: "b" },
      idempotencyKey: "k",
      agentId: "",
      nonce: new Uint8Array([1, 2]),
      principal: null,
      sessionId: null,
    });
    const decoded = decodeAuthorizeRequest(bytes);
    bytes.fill(0xff);
    expect(decoded).toMatchObject({ tool: "t", payload: { a: "b" }, nonce: new Uint8Array([1, 2]) });
  });

  test("of any bytes makes a Fault, or what protobuf-es makes of them", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), agreesWithProtobufEs), { numRuns: 3000 });
  });

  test("of a message with some bytes changed makes a Fault, or what protobuf-es makes of it", () => {
    const change = fc.tuple(fc.nat(), fc.nat(255));
    fc.assert(
      fc.property(request, fc.array(change, { minLength: 1, maxLength: 3 }), (asked, changes) => {
        const bytes = encode(asked);
        for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
        agreesWithProtobufEs(bytes);
      }),
      { numRuns: 3000 },
    );
  });

  test("of a message cut short anywhere makes a Fault, or the fields before the cut", () => {
    fc.assert(
      fc.property(request, (asked) => {
        const bytes = encode(asked);
        for (let length = 0; length < bytes.length; length++) {
          const cut = attempt(bytes.subarray(0, length));
          if (cut instanceof Fault) expect(cut.status).toBe("invalid_argument");
          else
            for (const [key, value] of Object.entries(cut))
              expect([asked[key as keyof UnverifiedRequest], empty(key)]).toContainEqual(value);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("ignores fields that it does not know, of every wire type, in every message", () => {
    const unknown = Buffer.concat([
      varintField(90, 300),
      fixed64(91, 1),
      field(92, text("x")),
      Buffer.from([0xed, 0x05, 1, 2, 3, 4]),
    ]);
    const value = Buffer.concat([unknown, field(3, text("v")), unknown]);
    const member = Buffer.concat([unknown, field(1, text("a")), field(2, value), unknown]);
    const bytes = Buffer.concat([
      unknown,
      field(1, text("t")),
      field(2, Buffer.concat([unknown, field(1, member), unknown])),
      unknown,
    ]);
    expect(decodeAuthorizeRequest(bytes)).toMatchObject({ tool: "t", payload: { a: "v" } });
  });

  const value = (bytes: Buffer) => field(2, struct([["a", bytes]]));
  const refused: [title: string, bytes: Buffer, code: string, field: string | undefined][] = [
    ["a tag cut short", Buffer.from([0x80]), "REQUEST_MALFORMED", undefined],
    ["a length cut short", Buffer.from([0x0a]), "REQUEST_MALFORMED", "tool"],
    ["a text cut short", Buffer.from([0x0a, 5, 0x61]), "REQUEST_MALFORMED", "tool"],
    ["a length of more than 32 bits", Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]), "REQUEST_MALFORMED", "tool"],
    [
      "a length that never ends",
      Buffer.from([0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]),
      "REQUEST_MALFORMED",
      "tool",
    ],
    ["a field numbered 0", Buffer.from([0x02, 0]), "REQUEST_MALFORMED", undefined],
    ["a group", Buffer.from([0xf3, 0x05, 0xf4, 0x05]), "REQUEST_MALFORMED", undefined],
    ["a reserved wire type", Buffer.from([0xf6, 0x05]), "REQUEST_MALFORMED", undefined],
    [
      "a varint of 11 bytes",
      Buffer.from([0xf0, 0x05, ...Array<number>(10).fill(0xff), 1]),
      "REQUEST_MALFORMED",
      undefined,
    ],
    ["a tool of another wire type", varintField(1, 1), "REQUEST_MALFORMED", "tool"],
    ["a payload of another wire type", varintField(2, 1), "REQUEST_MALFORMED", "payload"],
    ["two tools", Buffer.concat([field(1, text("a")), field(1, text("b"))]), "REQUEST_MALFORMED", "tool"],
    ["two payloads", Buffer.concat([field(2, text("")), field(2, text(""))]), "REQUEST_MALFORMED", "payload"],
    ["two keys", Buffer.concat([field(3, text("a")), field(3, text("a"))]), "REQUEST_MALFORMED", "idempotency_key"],
    ["two agents", Buffer.concat([field(4, text("a")), field(4, text("a"))]), "REQUEST_MALFORMED", "agent_id"],
    ["two nonces", Buffer.concat([field(5, text("a")), field(5, text("a"))]), "REQUEST_MALFORMED", "nonce"],
    ["a tool that is not UTF-8", field(1, Buffer.from([0xff])), "REQUEST_MALFORMED", "tool"],
    ["an overlong encoding", field(3, Buffer.from([0xc0, 0x80])), "REQUEST_MALFORMED", "idempotency_key"],
    ["a surrogate in UTF-8", value(field(3, Buffer.from([0xed, 0xa0, 0x80]))), "REQUEST_MALFORMED", "payload.a"],
    [
      "a name that is not UTF-8",
      field(2, struct([[Buffer.from([0xc3]), field(3, text("x"))]])),
      "REQUEST_MALFORMED",
      "payload",
    ],
    [
      "a name twice",
      field(
        2,
        struct([
          ["a", field(3, text("x"))],
          ["a", field(3, text("x"))],
        ]),
      ),
      "FIELD_INVALID",
      "payload.a",
    ],
    [
      "__proto__ twice",
      field(
        2,
        struct([
          ["__proto__", field(3, text("x"))],
          ["__proto__", field(3, text("y"))],
        ]),
      ),
      "FIELD_INVALID",
      "payload.__proto__",
    ],
    [
      "a member with two names",
      field(2, field(1, Buffer.concat([field(1, text("a")), field(1, text("b"))]))),
      "REQUEST_MALFORMED",
      "payload",
    ],
    ["a member without a value", field(2, field(1, field(1, text("a")))), "FIELD_INVALID", "payload.a"],
    ["a value of no kind", value(Buffer.alloc(0)), "FIELD_INVALID", "payload.a"],
    [
      "a value of two kinds",
      value(Buffer.concat([field(3, text("x")), varintField(4, 1)])),
      "REQUEST_MALFORMED",
      "payload.a",
    ],
    [
      "a text twice",
      value(Buffer.concat([field(3, text("x")), field(3, text("x"))])),
      "REQUEST_MALFORMED",
      "payload.a",
    ],
    ["a value of another wire type", value(varintField(3, 1)), "REQUEST_MALFORMED", "payload.a"],
    ["NaN", value(doubleValue(Number.NaN)), "FIELD_INVALID", "payload.a"],
    [
      "an infinity",
      value(field(6, list([doubleValue(1), doubleValue(Number.NEGATIVE_INFINITY)]))),
      "FIELD_INVALID",
      "payload.a[1]",
    ],
    ["a number cut short", value(Buffer.from([0x11, 1, 2])), "REQUEST_MALFORMED", "payload.a"],
    ["a bool that is 2", value(varintField(4, 2)), "REQUEST_MALFORMED", "payload.a"],
    [
      "a bool that is 2^32",
      value(Buffer.concat([Buffer.from([4 << 3]), varint(2 ** 32)])),
      "REQUEST_MALFORMED",
      "payload.a",
    ],
    ["a null that is 1", value(varintField(1, 1)), "REQUEST_MALFORMED", "payload.a"],
    ["an item of no kind", value(field(6, list([Buffer.alloc(0)]))), "FIELD_INVALID", "payload.a[0]"],
    ["65 lists in one another", value(deepList(65)), "FIELD_INVALID", `payload.a${"[0]".repeat(63)}`],
    [
      "a hundred thousand lists in one another",
      value(deepList(100_000)),
      "FIELD_INVALID",
      `payload.a${"[0]".repeat(63)}`,
    ],
  ];
  test.each(refused)("refuses %s", (_title, bytes, code, field_) => {
    const fault = attempt(bytes);
    expect(fault).toBeInstanceOf(Fault);
    expect(fault).toMatchObject({ code, field: field_ });
  });

  test("reads what is nested 64 deep", () => {
    expect(decodeAuthorizeRequest(value(deepList(63)))).toBeDefined();
  });
});

function encode({ payload: members, nonce, principal, sessionId, ...same }: UnverifiedRequest): Uint8Array {
  return toBinary(
    AuthorizeRequestSchema,
    create(AuthorizeRequestSchema, {
      ...same,
      payload: members,
      nonce: new Uint8Array(nonce),
      ...(principal !== null && { principal }),
      ...(sessionId !== null && { sessionId }),
    }),
  );
}

function attempt(bytes: Uint8Array): UnverifiedRequest | Fault {
  try {
    return decodeAuthorizeRequest(bytes);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

function agreesWithProtobufEs(bytes: Uint8Array): void {
  const ours = attempt(bytes);
  if (ours instanceof Fault) {
    expect(ours.status).toBe("invalid_argument");
    return;
  }
  const theirs: AuthorizeRequest = fromBinary(AuthorizeRequestSchema, bytes);
  const { tool, payload: members = {}, idempotencyKey, agentId, nonce, principal = null, sessionId = null } = theirs;
  expect(ours).toEqual({ tool, payload: members, idempotencyKey, agentId, nonce, principal, sessionId });
  expect(attempt(encode(ours))).toEqual(ours);
}

function empty(key: string): unknown {
  if (key === "payload") return {};
  if (key === "principal" || key === "sessionId") return null;
  return key === "nonce" ? new Uint8Array(0) : "";
}

/** A value of `depth` lists, each in the other. Built from its heads, for appending copies would take minutes. */
function deepList(depth: number): Buffer {
  const core = field(3, text("x"));
  const heads: Buffer[] = [];
  let length = core.length;
  const wrap = (number: number): void => {
    const head = Buffer.concat([varint(number * 8 + 2), varint(length)]);
    heads.push(head);
    length += head.length;
  };
  for (let index = 0; index < depth; index++) {
    wrap(1);
    wrap(6);
  }
  return Buffer.concat([...heads.toReversed(), core]);
}
