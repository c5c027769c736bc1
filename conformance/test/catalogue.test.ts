import { describe, expect, test } from "vitest";
import { TRANSPORTS } from "../src/case.ts";
import { caseOfDecision, CASES, caseOfTool, decisionOf, listed } from "../src/catalogue.ts";

const countBy = (key: (one: (typeof CASES)[number]) => string): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const one of CASES) counts[key(one)] = (counts[key(one)] ?? 0) + 1;
  return counts;
};

describe("the catalogue", () => {
  test("every case has a name of its own, and a tool that selects it", () => {
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
    for (const one of CASES) {
      expect(one.name).toMatch(/^[a-z0-9-]+\.[a-z0-9-]+(\.[a-z0-9-]+)*$/);
      expect(one.name.split(".")[0]).toBe(one.family);
      expect(caseOfTool(listed(one).tool)).toBe(one);
      expect(caseOfDecision(decisionOf(one))).toBe(one.method === "BeginExecution" ? one : undefined);
    }
  });

  test("no case is lost, and no verdict changes unnoticed", () => {
    expect(countBy(({ family }) => family)).toEqual({
      control: 35,
      "control-grpc": 23,
      "control-http": 9,
      decision: 55,
      "wire-type": 53,
      repeated: 38,
      message: 48,
      agreement: 49,
      echo: 73,
      "json-value": 86,
      "json-name": 22,
      "json-document": 48,
      framing: 52,
      trailers: 53,
      status: 87,
      "http-status": 177,
      "content-type": 55,
      http1: 30,
      "http2-header": 23,
      "http2-frame": 36,
      "rst-stream": 64,
      goaway: 28,
      drop: 34,
      tls: 20,
      connection: 20,
      slow: 27,
      compression: 39,
      truncation: 320,
      "bit-flip": 656,
      "begin-control": 6,
      "begin-state": 37,
      "begin-agreement": 23,
      "begin-echo": 24,
      "begin-truncation": 280,
      "begin-bit-flip": 584,
      "begin-framing": 52,
      "begin-trailers": 53,
      "begin-status": 87,
      "begin-http-status": 177,
      "begin-content-type": 55,
      "begin-rst-stream": 64,
      "begin-goaway": 28,
      "begin-drop": 34,
    });
    expect(countBy(({ verdict }) => verdict)).toEqual({ allow: 58, deny: 3705, needs_review: 1 });
  });

  test("only controls allow, and every transport has controls of each verdict", () => {
    const allows = CASES.filter(({ verdict }) => verdict === "allow");
    expect(allows.filter(({ family }) => !/^(control|tls|begin-control)/.test(family)).map(({ name }) => name)).toEqual(
      [],
    );
    for (const transport of TRANSPORTS) {
      const verdicts = CASES.filter((one) => one.family === "control" && one.transports.includes(transport)).map(
        (one) => one.verdict,
      );
      expect(new Set(verdicts)).toEqual(new Set(["allow", "deny", "needs_review"]));
    }
  });

  test("a listed case is plain data, the same each time", () => {
    const once = JSON.stringify(CASES.map(listed));
    expect(JSON.stringify(CASES.map(listed))).toBe(once);
    expect(JSON.parse(once)).toContainEqual({
      name: "trailers.status-hex",
      family: "trailers",
      method: "Authorize",
      says: "grpc-status is 0x0",
      tool: "conformance.trailers.status-hex",
      transports: ["grpc"],
      endpoint: "main",
      level: "stub",
      verdict: "deny",
      reasons: ["MALFORMED_RESPONSE"],
    });
  });
});
