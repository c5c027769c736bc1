import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/core/clock.ts";
import { type AdapterQuestion, startAdapter } from "../src/adapter.ts";
import { CASES } from "../src/catalogue.ts";
import { serveConformance } from "../src/serve.ts";
import { adapter, conformance, report } from "./support/command.ts";
import { ownProcess, showErrors } from "../../test/support/owned.ts";

const deny = adapter("conformance/test/adapters/always.ts", "deny");
const allow = adapter("conformance/test/adapters/always.ts", "allow");

/** An adapter of a few lines: `answer` is an expression over the question `q` and the number of the question `n`. */
const inline = (answer: string, ready = '{"ready":true}') => {
  const code = `let n = 0; console.log(${JSON.stringify(ready)});
    require("readline").createInterface({ input: process.stdin }).on("line", (line) => { const q = JSON.parse(line); n++; ${answer} });`;
  return `'${process.execPath}' -e '${code}'`;
};
const say = (fields: string) => `console.log(JSON.stringify({ case: q.case, ${fields} }));`;

const problemsOf = async (client: string, ...args: string[]) =>
  (await report(client, ...args)).failures.map(({ problem }) => problem);
const DENIED = ["--case", "control.rule-denied", "control.no-matching-rule"];

describe("datacrawl conformance run", () => {
  test("a client that always denies fails on the controls, and on nothing else", async () => {
    const { failures, passed, exit } = await report(deny);
    expect(new Set(failures.map(({ expected }) => expected))).toEqual(new Set(["allow", "needs_review"]));
    const controls = CASES.filter(
      ({ method, verdict, transports }) => method === "Authorize" && verdict !== "deny" && transports.includes("grpc"),
    );
    expect(failures.map((failure) => failure.case)).toEqual(controls.map(({ name }) => name));
    expect(passed).toBeGreaterThan(1500);
    expect(exit).toBe(1);
  });

  test.each(["grpc", "connect-proto", "connect-json"])(
    "a client that always allows fails wherever %s denies",
    async (transport) => {
      const { failures, passed, exit } = await report(allow, "--transport", transport);
      expect(failures.filter(({ expected }) => expected === "allow")).toEqual([]);
      expect(failures.length).toBeGreaterThan(430);
      // Those that pass are the controls that allow.
      expect(passed).toBeLessThan(60);
      expect(exit).toBe(1);
    },
  );

  test.each(["grpc", "connect-proto"])(
    "a client that starts whatever it is answered fails wherever %s refuses",
    async (transport) => {
      const { failures, passed, exit } = await report(allow, "--transport", transport, "--method", "BeginExecution");
      expect(failures.filter(({ expected }) => expected === "allow")).toEqual([]);
      expect(failures.length).toBeGreaterThan(1000);
      expect(passed).toBe(2);
      expect(exit).toBe(1);
    },
  );

  test("a right client passes, and the exit status says so", async () => {
    const stub = adapter("conformance/test/adapters/grpc-js-stub.ts");
    const { failures, families, exit } = await report(stub, "--family", "control", "control-grpc");
    expect(failures).toEqual([]);
    expect(families).toEqual([
      { family: "control", passed: 29, failed: 0 },
      { family: "control-grpc", passed: 23, failed: 0 },
    ]);
    expect(exit).toBe(0);
  });

  test.each(["connect-proto", "connect-json"])("the controls pass over %s", async (transport) => {
    const stub = adapter("conformance/test/adapters/connect-stub.ts");
    const { failures } = await report(stub, "--transport", transport, "--family", "control", "control-http", "tls");
    expect(failures).toEqual([]);
  });

  test("what a lenient decoder lets pass is found", async () => {
    const stub = adapter("conformance/test/adapters/grpc-js-stub.ts");
    const { failures } = await report(
      stub,
      "--case",
      "trailers.status-hex",
      "http-status.grpc-503",
      "repeated.deny-then-allow",
      "trailers.none",
    );
    expect(failures.map((failure) => [failure.case, failure.decision])).toEqual([
      ["repeated.deny-then-allow", "allow"],
      ["trailers.status-hex", "allow"],
      ["http-status.grpc-503", "allow"],
    ]);
  });

  test("a wrong reason is a failure, and a client without reasons is none", async () => {
    expect(await problemsOf(inline(say('decision: "deny"')), ...DENIED)).toEqual([]);
    expect(await problemsOf(inline(say('decision: "deny", reason: "RULE_DENIED"')), ...DENIED)).toEqual([
      'its reason was "RULE_DENIED"; it must be NO_MATCHING_RULE',
    ]);
  });

  test("a circuit that answers in the client's place is a failure, even where any reason is right", async () => {
    const problems = await problemsOf(
      inline(say('decision: "deny", reason: "CIRCUIT_OPEN"')),
      "--case",
      "goaway.after-headers-no-error",
    );
    expect(problems).toEqual([expect.stringContaining("CIRCUIT_OPEN")]);
  });

  test("a call that outlives its deadline is a failure", async () => {
    const late = inline(`setTimeout(() => { ${say('decision: "deny"')} }, 700);`);
    expect(await problemsOf(late, "--deadline-ms", "300", "--case", "control.rule-denied")).toEqual([
      expect.stringMatching(/after its deadline$/),
    ]);
    const fast = inline(`setTimeout(() => { ${say('decision: "deny", elapsedMs: 5')} }, 700);`);
    expect(await problemsOf(fast, "--deadline-ms", "300", "--case", "control.rule-denied")).toEqual([]);
  });

  test("a client that dies is started again, and only the case that killed it fails", async () => {
    const dying = inline(`if (q.case === "control.rule-denied") process.exit(7); ${say('decision: "deny"')}`);
    expect(await problemsOf(dying, ...DENIED)).toEqual(["the client ended with status 7"]);
  });

  test("a client that dies after its answer fails, in the next case or at the end", async () => {
    const soon = inline(`${say('decision: "deny"')} if (q.case === "control.rule-denied") process.exit(7);`);
    expect(await problemsOf(soon, ...DENIED)).toEqual(["the client ended with status 7"]);
    const rejecting = inline(
      `${say('decision: "deny"')} setTimeout(() => Promise.reject(new Error("expected")), 300);`,
    );
    expect(await problemsOf(rejecting, "--case", "control.rule-denied")).toEqual(["the client ended with status 1"]);
  });

  test("a client that died between two questions is not started again in silence", { tags: ["full"] }, async () => {
    const client = startAdapter(inline(`${say('decision: "deny"')} process.exit(7);`), process.env, process.cwd());
    const question: AdapterQuestion = {
      case: "control.rule-denied",
      method: "Authorize",
      decisionId: "",
      tool: "conformance.control.rule-denied",
      payload: {},
      idempotencyKey: "k",
      url: "http://127.0.0.1:1",
      transport: "grpc",
      agentId: "a",
      apiKey: "",
      caFile: "",
      deadlineMs: 1,
    };
    expect(await client.ask(question, 5000)).toMatchObject({ decision: "deny" });
    await sleep(500);
    await expect(client.ask(question, 5000)).rejects.toThrow("the client ended with status 7");
    expect(await client.ask(question, 5000)).toMatchObject({ decision: "deny" });
    await client.close();
  });

  test("a client that says nonsense, or answers about another case, fails", async () => {
    expect(await problemsOf(inline('console.log("allow");'), ...DENIED)).toEqual(["it wrote allow", "it wrote allow"]);
    const confused = inline('console.log(JSON.stringify({ case: "other", decision: "deny" }));');
    expect(await problemsOf(confused, ...DENIED)).toEqual(Array(2).fill('it answered for the case "other"'));
  });

  test("a client that never answers is given up", { tags: ["full"] }, async () => {
    const problems = await problemsOf(inline(""), "--deadline-ms", "1", "--case", "control.rule-denied");
    expect(problems).toEqual(["it wrote nothing for 5001 ms"]);
  });

  test("a client that cannot be started fails every case", async () => {
    expect(await problemsOf("exit 3", ...DENIED)).toEqual(Array(2).fill("the client ended with status 3"));
  });

  test("selecting nothing is an error, for running nothing would pass", async () => {
    await expect(report(deny, "--family", "no-such-family")).rejects.toThrow("no case");
    await expect(report(deny, "--transport", "connect-json", "--family", "trailers")).rejects.toThrow("no case");
  });

  test("--url runs against a server that is already there", async () => {
    const server = await serveConformance({ grpcAddr: "127.0.0.1:0", connectAddr: "127.0.0.1:0", clock: systemClock });
    const stub = adapter("conformance/test/adapters/grpc-js-stub.ts");
    const there = ["--url", server.endpoints["main"]?.connect ?? ""];
    expect(
      (await report(stub, ...there, "--case", "control.plain", "tls.trusted", "tls.unknown-authority")).failures,
    ).toEqual([]);
    await server.close();
    await expect(report(stub, ...there)).rejects.toThrow("not a conformance server");
  });

  test("without --json a person reads each failure, and a table by family", async () => {
    const { out } = await conformance("run", "--client", allow, "--case", "control.plain", "trailers.none");
    expect(out).toContain('FAIL  trailers.none  (stub)  it decided "allow"; the right verdict is deny\n');
    expect(out).toMatch(/^trailers +0 +1$/m);
    expect(out).toMatch(/^all +1 +1$/m);
  });
});

describe("datacrawl conformance list and serve", () => {
  test("list --json is the cases, with what a client needs", async () => {
    const cases: { name: string; verdict: string; transports: string[] }[] = JSON.parse(
      (await conformance("list", "--json")).out,
    );
    expect(cases.length).toBeGreaterThan(430);
    const overJson: typeof cases = JSON.parse(
      (await conformance("list", "--json", "--transport", "connect-json", "--level", "stub")).out,
    );
    expect(overJson.length).toBeGreaterThan(300);
    expect(overJson.every(({ transports }) => transports.includes("connect-json"))).toBe(true);
  });

  test("serve prints its addresses, serves until SIGTERM, and ends with status 0", async () => {
    const serve = ["conformance", "serve", "--json", "--grpc-addr", "127.0.0.1:0", "--connect-addr", "127.0.0.1:0"];
    const child = showErrors(
      ownProcess(spawn(process.execPath, ["src/main.ts", ...serve], { stdio: ["ignore", "pipe", "pipe"] })),
    );
    let text = "";
    for await (const line of createInterface({ input: child.stdout })) {
      text += line;
      if (line === "}") break;
    }
    const directory: { endpoints: Record<string, { connect: string }> } = JSON.parse(text);
    const answer = await fetch(`${directory.endpoints["main"]?.connect}/endpoints`);
    expect(await answer.json()).toEqual(directory);
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });
});
