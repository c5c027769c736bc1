import { describe, expect, test } from "vitest";
import { adapter, report } from "../../conformance/test/support/command.ts";

const proxy = adapter("test/mcp/through-proxy-adapter.ts");

describe("an MCP proxy before a service that answers wrongly", () => {
  test("forwards what the kit says is an allow, and nothing else", { timeout: 600_000 }, async () => {
    const families = [
      "decision",
      "reason",
      "echo",
      "begin-control",
      "begin-state",
      "begin-agreement",
      "begin-echo",
      "begin-bit-flip",
    ].flatMap((family) => ["--family", family]);
    const { failures, passed } = await report(proxy, "--transport", "grpc", ...families);
    expect(failures.map(({ case: name, problem }) => `${name}: ${problem}`)).toEqual([]);
    expect(passed).toBeGreaterThan(100);
  });

  test("does so in every case", { tags: ["full"], timeout: 600_000 }, async () => {
    const { failures, passed } = await report(proxy, "--transport", "grpc");
    expect(failures.map(({ case: name, problem }) => `${name}: ${problem}`)).toEqual([]);
    expect(passed).toBeGreaterThan(1500);
  });
});
