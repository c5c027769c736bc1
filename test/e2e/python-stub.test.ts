// @module-tag full
import { spawnSync } from "node:child_process";
import { existsSync, globSync, rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findPython } from "../support/python.ts";
import { demoKey, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";

const python = findPython("grpc, grpc_tools", "grpcio-tools");

interface PythonCall {
  readonly tool?: string;
  readonly payload?: unknown;
  readonly key?: string;
  readonly credential?: string | null;
}

describe.skipIf(python === null)("a generated Python stub", () => {
  const generated = tempDir();
  let service: ServiceProcess;

  beforeAll(async () => {
    const protos = globSync("proto/datacrawl/**/*.proto");
    const args = [
      "-m",
      "grpc_tools.protoc",
      "-Iproto",
      `--python_out=${generated}`,
      `--grpc_python_out=${generated}`,
      ...protos,
    ];
    const made = spawnSync(python as string, args, { encoding: "utf8" });
    if (made.status !== 0) throw new Error(made.stderr);
    service = await startService();
  });
  afterAll(async () => {
    await discard(service);
    if (existsSync(generated)) rmSync(generated, { recursive: true });
  });

  const inside = { to: ["ann@example.com"], subject: "Hi", body: "Hello" };

  const call = (...calls: readonly PythonCall[]): Record<string, unknown>[] => {
    const defaults = { tool: "gmail.send_email", payload: inside, key: "python", credential: demoKey(service.dataDir) };
    const input = calls.map((one) => JSON.stringify({ ...defaults, ...one })).join("\n");
    const script = "test/e2e/python-stub.py";
    const ran = spawnSync(python as string, [script, generated, `127.0.0.1:${service.grpcPort}`], {
      input,
      encoding: "utf8",
    });
    if (ran.status !== 0) throw new Error(ran.stderr);
    return ran.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };

  test("is allowed, denied and sent to review", () => {
    const outside = { ...inside, to: ["eve@elsewhere.org"] };
    const [allowed, denied, review] = call(
      { key: "p1" },
      { key: "p2", tool: "no.such_tool" },
      { key: "p3", payload: outside },
    );
    expect(allowed).toMatchObject({ code: "OK", decision: "DECISION_ALLOW", agentId: "demo", idempotencyKey: "p1" });
    expect(denied).toMatchObject({ code: "OK", decision: "DECISION_DENY", reason: "REASON_NO_MATCHING_RULE" });
    expect(review).toMatchObject({ code: "OK", decision: "DECISION_NEEDS_REVIEW", reason: "REASON_REVIEW_PENDING" });
  });

  test("gets the same decision for a retry, and a deny for another request under its key", () => {
    const [first, again, other] = call({ key: "p4" }, { key: "p4" }, { key: "p4", payload: {} });
    expect(first?.["replayed"]).toBeUndefined();
    expect(again).toMatchObject({ code: "OK", decisionId: first?.["decisionId"], replayed: true });
    expect(other).toMatchObject({ code: "OK", decision: "DECISION_DENY", reason: "REASON_IDEMPOTENCY_KEY_REUSED" });
  });

  test.each([
    ["no credential", null],
    ["no credential of ours", "sesame"],
    ["an unknown key", `dc_agent_demo_${"0".repeat(12)}_${"0".repeat(64)}`],
  ])("is UNAUTHENTICATED with %s", (_, credential) => {
    expect(call({ credential })).toMatchObject([{ code: "UNAUTHENTICATED" }]);
  });

  test.each([
    ["tool", { tool: "" }],
    ["idempotency_key", { key: "k".repeat(257) }],
    ["payload.note", { payload: { note: "\0" } }],
  ])("is told with INVALID_ARGUMENT that %s is at fault", (field, change) => {
    const [answer] = call(change);
    expect(answer?.["code"]).toBe("INVALID_ARGUMENT");
    expect(answer?.["details"]).toContain(field);
  });
});
