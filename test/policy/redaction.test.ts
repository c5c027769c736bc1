import { createHash } from "node:crypto";
import type { JsonObject, JsonValue } from "../../src/core/json.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson } from "../../src/core/canonical-json.ts";
import { Fault } from "../../src/core/fault.ts";
import { parseRedactPath, type RedactPath } from "../../src/policy/redact-path.ts";
import { MAX_REDACTED, Redaction } from "../../src/policy/redaction.ts";

const digest = (canonical: string): string => createHash("sha256").update(canonical).digest("hex").slice(0, 8);
const marked = (value: JsonValue): JsonValue => ({ $redacted: digest(canonicalJson(value, "payload", 64)) });

function path(source: string): RedactPath {
  const parsed = parseRedactPath(source);
  if ("message" in parsed) throw new Error(`${source}: ${parsed.message}`);
  return parsed;
}

function redaction(...sources: string[]): Redaction {
  return new Redaction([{ tools: ["t"], paths: sources.map(path) }]);
}

function stored(payload: JsonObject, ...sources: string[]): JsonValue {
  const text = redaction(...sources).storable("t", payload, canonicalJson(payload, "payload", 32), digest);
  return JSON.parse(text) as JsonValue;
}

/** JSON as a service parses it: `__proto__` is a member like any other. */
const json = (text: string): JsonObject => JSON.parse(text) as JsonObject;

describe("what is stored of a payload", () => {
  it("has a digest in the place of each value that a path names, and all else as it was", () => {
    const card = { number: "4111111111111111", name: "Ann" };
    expect(stored({ card, amount: 5 }, "payload.card.number")).toEqual({
      card: { number: marked("4111111111111111"), name: "Ann" },
      amount: 5,
    });
  });

  it.each<[string, string, JsonObject, JsonValue]>([
    [
      "any member",
      "payload.*.password",
      { a: { password: "x" }, b: { password: 1 }, password: "kept" },
      { a: { password: marked("x") }, b: { password: marked(1) }, password: "kept" },
    ],
    ["any element", "payload.tokens.*", { tokens: ["x", ["y"]] }, { tokens: [marked("x"), marked(["y"])] }],
    ["a list as a whole", "payload.tokens", { tokens: ["x", "y"] }, { tokens: marked(["x", "y"]) }],
    [
      "through lists that the path does not name, however deep",
      "payload.card.number",
      { card: [{ number: "1" }, [[{ number: "2" }]]] },
      { card: [{ number: marked("1") }, [[{ number: marked("2") }]]] },
    ],
    [
      "through the elements of * and their members",
      "payload.list.*.password",
      { list: [{ password: "x" }, { u: { password: "y" } }] },
      { list: [{ password: marked("x") }, { u: { password: marked("y") } }] },
    ],
    ["an object as a whole", "payload.card", { card: { number: "1" } }, { card: marked({ number: "1" }) }],
    ["null, and an empty object", "payload.*", { a: null, b: {} }, { a: marked(null), b: marked({}) }],
    ["the payload as a whole", "payload", { a: 1 }, marked({ a: 1 })],
    ["a name that is no identifier", 'payload["x-api.key"]', { "x-api.key": "k" }, { "x-api.key": marked("k") }],
    ["a quoted name with escapes", String.raw`payload["\"\u0061"]`, { '"a': "k" }, { '"a': marked("k") }],
    ["nothing where the path leads nowhere", "payload.card.number", { card: "none", n: 1 }, { card: "none", n: 1 }],
    ["nothing under a name of other case", "payload.password", { Password: "x" }, { Password: "x" }],
    ["nothing that is inherited", "payload.constructor.name", { a: 1 }, { a: 1 }],
  ])("%s: %s", (_, source, payload, expected) => {
    expect(stored(payload, source)).toEqual(expected);
  });

  it("keeps members named __proto__, and redacts within them", () => {
    const payload = json('{"__proto__":{"password":"x","b":1},"c":{"__proto__":2}}');
    const text = redaction("payload.*.password").storable("t", payload, canonicalJson(payload, "payload", 32), digest);
    expect(text).toBe(`{"__proto__":{"b":1,"password":{"$redacted":"${digest('"x"')}"}},"c":{"__proto__":2}}`);
    expect(stored(payload, "payload.__proto__")).toEqual(
      json(`{"__proto__":{"$redacted":"${digest('{"b":1,"password":"x"}')}"},"c":{"__proto__":2}}`),
    );
  });

  it("goes by the tool's name, by all patterns that match it", () => {
    const rules = new Redaction([
      { tools: ["stripe.*"], paths: [path("payload.a")] },
      { tools: ["stripe.charge", "stripe.charge"], paths: [path("payload.b")] },
      { tools: ["*"], paths: [path("payload.c")] },
    ]);
    const payload = { a: 1, b: 2, c: 3 };
    const names = (tool: string): JsonValue =>
      Object.entries(json(rules.storable(tool, payload, '{"a":1,"b":2,"c":3}', digest))).flatMap(([name, value]) =>
        typeof value === "object" ? [name] : [],
      );
    expect(names("stripe.charge")).toEqual(["a", "b", "c"]);
    expect(names("stripe.refund")).toEqual(["a", "c"]);
    expect(names("stripe")).toEqual(["c"]);
    expect(rules.pathsOf("stripe.charge").toSorted()).toEqual(["payload.a", "payload.b", "payload.c"]);
  });

  it("has no mark but ours: what an agent named so has one more $", () => {
    const forged = { $redacted: "hmac", a: { $$redacted: 1, $redacted: [{ $redacted: 2 }] }, redacted: 3 };
    const kept = { $$redacted: "hmac", a: { $$$redacted: 1, $$redacted: [{ $$redacted: 2 }] }, redacted: 3 };
    expect(stored(forged)).toEqual(kept);
    expect(stored(forged, "payload.b")).toEqual(kept);
    expect(stored(forged, "payload.a")).toEqual({ $$redacted: "hmac", a: marked(forged.a), redacted: 3 });
    expect(stored(forged, 'payload["$redacted"]')).toEqual({ ...kept, $$redacted: marked("hmac") });
  });

  it(`is refused with more than ${MAX_REDACTED} values in place of which digests would stand`, () => {
    const list = (length: number): JsonObject => ({ list: Array.from({ length }, () => "x") });
    expect(JSON.stringify(stored(list(MAX_REDACTED), "payload.list.*"))).not.toContain('"x"');
    expect(() => stored(list(MAX_REDACTED + 1), "payload.list.*")).toThrow(Fault);
    expect(stored(list(MAX_REDACTED + 1), "payload.list")).toEqual({
      list: marked(list(MAX_REDACTED + 1).list ?? null),
    });
  });

  it("costs work in proportion to the payload, whatever its shape and the paths", () => {
    // Stars that fit everywhere: without one walk for all paths, or with a state for each way to a node, this would not end.
    const stars = Array.from({ length: 16 }, (_, index) => `payload${".*".repeat(index + 1)}.secret`);
    let deep: JsonValue = { a: "x", b: "y" };
    for (let depth = 0; depth < 30; depth++) deep = depth % 2 === 0 ? [deep] : { a: deep };
    const payload = { deep, wide: Array.from({ length: 30_000 }, () => ({ b: 1 })) };
    expect(stored(payload, ...stars)).toEqual(payload);
  });
});

/** The paths one at a time, place by place, without sharing: slow, and simple enough to be right. */
function reference(value: JsonValue, paths: readonly RedactPath["steps"][]): JsonValue {
  if (paths.some((steps) => steps.length === 0)) return marked(value);
  if (Array.isArray(value)) {
    const next = paths.flatMap((steps) => (typeof steps[0] === "symbol" ? [steps, steps.slice(1)] : [steps]));
    return value.map((item) => reference(item, next));
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      const next = paths.filter(([step]) => step === name || typeof step === "symbol").map((steps) => steps.slice(1));
      return [name, reference(member, next)];
    }),
  );
}

describe("any payload and any paths", () => {
  const name = fc.constantFrom("a", "b", "__proto__", "constructor", "");
  const secret = fc.integer({ min: 0, max: 999 }).map((number) => `SECRET-${number}-`);
  const { value } = fc.letrec<{ value: JsonValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.oneof(secret, fc.constant(null), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean()),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(name, tie("value"), { maxKeys: 4 }),
    ),
  }));
  const payloads = fc.dictionary(name, value, { maxKeys: 5 });
  const step = fc.oneof(
    name.map((text) => `[${JSON.stringify(text)}]`),
    fc.constant(".*"),
  );
  const paths = fc.array(
    fc.array(step, { minLength: 1, maxLength: 4 }).map((steps) => path(`payload${steps.join("")}`)),
    { minLength: 1, maxLength: 4 },
  );

  it("are stored as the paths say, one by one", () => {
    fc.assert(
      fc.property(payloads, paths, (payload, some) => {
        const canonical = canonicalJson(payload, "payload", 32);
        const text = new Redaction([{ tools: ["t"], paths: some }]).storable("t", payload, canonical, digest);
        const expected = reference(
          payload,
          some.map(({ steps }) => steps),
        );
        expect(text).toBe(canonicalJson(expected, "payload", 64));
        expect(canonicalJson(payload, "payload", 32)).toBe(canonical);
      }),
      { numRuns: 500 },
    );
  });

  it("hold no value that stands where a path leads", () => {
    fc.assert(
      fc.property(payloads, name, value, (payload, at, planted) => {
        const text = stored({ ...payload, x: { [at]: [planted, "PLANTED"] } }, `payload.x.*`);
        expect(JSON.stringify(text)).not.toContain("PLANTED");
      }),
    );
  });
});

describe("an error's place", () => {
  const fault = (...place: (string | number)[]): Fault =>
    new Fault("FIELD_INVALID", `${place.join("/")} must not contain NUL.`, { field: place.join("/"), path: place });

  it("is told up to the redacted value, and no member within it, for whatever tool", () => {
    const rules = redaction("payload.card", "payload.*.password", "payload.list.*");
    const told = (...place: (string | number)[]): string => rules.discreet(fault(...place)).message;
    expect(told("payload", "card")).toBe("payload/card must not contain NUL.");
    expect(told("payload", "card", "4111")).toBe(
      "payload.card holds a redacted value, in which something must not contain NUL.",
    );
    expect(told("payload", 0, "card", 1, "4111")).toMatch(/^payload\[0\]\.card holds a redacted value/);
    expect(told("payload", "user", "password", "hunter2")).toMatch(/^payload\.user\.password holds a redacted value/);
    expect(told("payload", "list", 3, "hunter2")).toMatch(/^payload\.list\[3\] holds a redacted value/);
    expect(told("payload", "amount", "x")).toBe("payload/amount/x must not contain NUL.");
    expect(told("tool")).toBe("tool must not contain NUL.");
  });

  it("keeps the fault's code and field, and leaves other faults alone", () => {
    const rules = redaction("payload.card");
    const told = rules.discreet(fault("payload", "card", "4111"));
    expect(told).toMatchObject({ code: "FIELD_INVALID", field: "payload.card" });
    const other = new Fault("STORE_UNAVAILABLE", "x", { cause: new Error("y") });
    expect(rules.discreet(other)).toBe(other);
  });
});

describe("a path", () => {
  it.each([
    ["card.number", 0, "write one that begins with payload"],
    ["payloads.x", 0, "write one that begins with payload"],
    ["payload.", 7, 'not understood from "." on'],
    ["payload.card-number", 12, 'not understood from "-number" on'],
    ["payload.a b", 9, "not understood"],
    ["payload.a[0]", 9, "lists are looked through"],
    ["payload.a[*].b", 9, "lists are looked through"],
    ["payload.a[].b", 9, "lists are looked through"],
    ["payload['a']", 7, "not understood"],
    [String.raw`payload["\x"]`, 7, "not understood"],
    ["payload.**", 9, "not understood"],
    [`payload${".a".repeat(33)}`, 71, "more than 32 steps"],
  ])("%s is refused at %i: %s", (source, offset, message) => {
    expect(parseRedactPath(source)).toMatchObject({ offset, message: expect.stringContaining(message) as string });
  });
});
