import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, describe, expect, expectTypeOf, it, onTestFinished } from "vitest";
import {
  type CircuitEvent,
  DataCrawl,
  type DataCrawlOptions,
  type Decision,
  DeniedError,
  type Verdict,
} from "../src/index.ts";
import { readOptions } from "../src/options.ts";
import { certificate } from "../../../conformance/src/certificates.ts";
import {
  allowing,
  API_KEY,
  type Asked,
  denied,
  fail,
  inReview,
  reply,
  run as listenOn,
  serveGrpc,
  type TestService,
} from "./support/service.ts";

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

const yes = ({ stream, request }: Asked): void => reply(stream, allowing(request));

async function serve(respond: (asked: Asked) => void): Promise<TestService> {
  const service = await serveGrpc(respond);
  opened.push(() => service.stop());
  return service;
}

async function clientOf(service: TestService, options: DataCrawlOptions = {}): Promise<DataCrawl> {
  const client = new DataCrawl({ url: service.url.origin, apiKey: API_KEY, timeoutMs: 5000, ...options });
  opened.push(() => client.close());
  return client;
}

it("answers as the README says", async () => {
  const client = await clientOf(await serve(yes));
  const verdict = await client.authorize({ tool: "gmail.send_email", payload: { to: "a" }, idempotencyKey: "send-1" });
  expect(verdict).toMatchObject({
    decision: "allow",
    reason: "RULE_ALLOWED",
    message: "Allowed by rule test.",
    policyVersion: expect.stringMatching(/^sha256:/),
    replayed: false,
    source: "service",
  });
  expectTypeOf(verdict.decision).toEqualTypeOf<"allow" | "deny" | "needs_review">();
  expectTypeOf<Decision>().toEqualTypeOf<Verdict["decision"]>();
});

describe("a protected function", () => {
  it("runs on allow, with the very payload that was allowed", async () => {
    const client = await clientOf(await serve((asked) => setTimeout(() => yes(asked), 50)));
    const sent: unknown[] = [];
    const send = client.protect("mail.send", (payload: { to: string }, verdict) => {
      sent.push(payload, verdict.decisionId);
      return `sent to ${payload.to}`;
    });
    const payload = { to: "friend@example.com" };
    const sending = send(payload);
    payload.to = "foe@example.com";
    expect(await sending).toBe("sent to friend@example.com");
    expect(sent).toEqual([{ to: "friend@example.com" }, "0198c0de-0000-7000-8000-00000000c0de"]);
  });

  it.each<[string, (asked: Asked) => void, string]>([
    ["deny", ({ stream, request }) => reply(stream, allowing(request, denied)), "RULE_DENIED"],
    ["failure", ({ stream }) => fail(stream, 13), "SERVICE_UNAVAILABLE"],
    ["needs_review", ({ stream, request }) => reply(stream, allowing(request, inReview)), "REVIEW_PENDING"],
  ])("does not run on %s", async (_, respond, reason) => {
    const client = await clientOf(await serve(respond));
    let ran = false;
    const guarded = client.protect("mail.send", () => (ran = true));
    const error = await guarded({ to: "a" }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeniedError);
    expect(error).toMatchObject({ name: "DeniedError", tool: "mail.send", verdict: { reason } });
    expect(ran).toBe(false);
  });

  it("does not run on what cannot be asked", async () => {
    const service = await serve(yes);
    const client = await clientOf(service);
    let ran = false;
    const guarded = client.protect("mail.send", () => (ran = true));
    // @ts-expect-error a Date is no JSON
    const asked = guarded({ when: new Date(0) });
    await expect(asked).rejects.toMatchObject({
      verdict: { decision: "deny", reason: "REQUEST_REFUSED", message: expect.stringContaining("payload.when") },
    });
    expect([ran, service.requests.length]).toEqual([false, 0]);
  });

  it("takes payloads whose type is an interface", async () => {
    interface Email {
      readonly to: readonly string[];
      readonly tags?: { readonly urgent: boolean };
    }
    const client = await clientOf(await serve(yes));
    const send = client.protect("mail.send", ({ to }: Email) => to.length);
    expect(await send({ to: ["a", "b"] })).toBe(2);
  });

  it("takes no payload type that JSON cannot hold", async () => {
    const client = await clientOf(await serve(yes));
    const toMap = client.protect("mail.send", ({ to }: { to: Map<string, string> }) => to.size);
    // @ts-expect-error a Map is no JSON
    await expect(toMap({ to: new Map() })).rejects.toBeInstanceOf(DeniedError);
    const ofClass = client.protect("mail.send", (email: { to: string; send(): void }) => email.to);
    // @ts-expect-error a method is no JSON
    await expect(ofClass({ to: "a", send() {} })).rejects.toBeInstanceOf(DeniedError);
    const optional = client.protect("mail.send", ({ to = null }: { to?: string | null | undefined }) => to);
    expect(await optional({ to: undefined })).toBe(null);
  });

  it("names its actions, and passes on what it throws itself", async () => {
    const service = await serve(yes);
    const client = await clientOf(service);
    const guarded = client.protect("mail.send", ({ id }: { id: number }) => Promise.reject(new Error(`smtp ${id}`)), {
      idempotencyKey: ({ id }) => `send-${id}`,
    });
    await expect(guarded({ id: 7 })).rejects.toThrow("smtp 7");
    expect(service.requests[0]?.idempotencyKey).toBe("send-7");
  });
});

describe("what a caller can tell from a verdict", () => {
  it("says whether it is allowed, and when it was decided, as a Date", async () => {
    const client = await clientOf(await serve(yes));
    const verdict = await client.authorize({ tool: "t" });
    expect(verdict).toMatchObject({ allowed: true, code: null, retryAfterMs: null });
    expect(verdict.decidedAt).toEqual(new Date(1_780_000_000_123));
    expect(Object.isFrozen(verdict)).toBe(true);
  });

  it.each([
    [8, "RATE_LIMITED"],
    [16, "BAD_CREDENTIAL"],
    [7, "NOT_PERMITTED"],
    [3, "BAD_REQUEST"],
  ])("tells refusals with status %i apart as %s", async (status, code) => {
    const client = await clientOf(await serve(({ stream }) => fail(stream, status)));
    expect(await client.authorize({ tool: "t" })).toMatchObject({ allowed: false, reason: "REQUEST_REFUSED", code });
  });

  it("counts a request that breaks the contract as a bad request", async () => {
    const client = await clientOf(await serve(yes));
    expect(await client.authorize({ tool: "" })).toMatchObject({ allowed: false, code: "BAD_REQUEST" });
  });
});

describe("hooks and calls", () => {
  it("connects to nothing before the first call", async () => {
    const service = await serve(yes);
    const client = await clientOf(service);
    client.on("circuit", () => {});
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect([client.status, service.connections()]).toEqual([null, 0]);
    expect(await client.ready()).toMatchObject({ problems: [] });
  });

  it("reports each verdict to onVerdict, and a hook that fails to the logger alone", async () => {
    const verdicts: unknown[] = [];
    const warnings: string[] = [];
    const client = await clientOf(await serve(yes), {
      onVerdict: (verdict, tool) => {
        verdicts.push([tool, verdict.allowed]);
        throw new Error("the hook broke");
      },
      logger: { warn: (message) => warnings.push(message) },
    });
    expect(await client.authorize({ tool: "t" })).toMatchObject({ allowed: true });
    expect([verdicts, warnings]).toEqual([[["t", true]], ["onVerdict failed: the hook broke"]]);
  });

  it("passes a well-formed traceparent on, and nothing else", async () => {
    const traceparents: unknown[] = [];
    const service = await serve((asked) => {
      traceparents.push(asked.headers["traceparent"]);
      yes(asked);
    });
    const client = await clientOf(service);
    const traceparent = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;
    await client.authorize({ tool: "t" }, { traceparent });
    await client.authorize({ tool: "t" }, { traceparent: "00-oops\r\nx: y" });
    expect(traceparents).toEqual([traceparent, undefined]);
  });
});

describe("authorize never throws", () => {
  it.each<[string, unknown[]]>([
    ["no request", []],
    ["null", [null]],
    ["null options", [{ tool: "t" }, null]],
    ["a timeout of NaN", [{ tool: "t" }, { timeoutMs: Number.NaN }]],
    ["a timeout of zero", [{ tool: "t" }, { timeoutMs: 0 }]],
    ["a signal that is none", [{ tool: "t" }, { signal: {} }]],
    ["a bigint", [{ tool: "t", payload: { n: 1n } }]],
    ["an integer beyond 2⁵³ − 1", [{ tool: "t", payload: { n: Number.MAX_SAFE_INTEGER + 1 } }]],
  ])("%s", async (_, args) => {
    const service = await serve(yes);
    const client = await clientOf(service);
    const authorize = client.authorize.bind(client) as (...args: unknown[]) => Promise<Verdict>;
    expect(await authorize(...args)).toMatchObject({ decision: "deny", reason: "REQUEST_REFUSED", source: "guard" });
    expect(service.requests).toHaveLength(0);
  });

  it("not even after close", async () => {
    const client = await clientOf(await serve(yes));
    await client.authorize({ tool: "t" });
    await client.close();
    expect(await client.authorize({ tool: "t" })).toMatchObject({ decision: "deny" });
    await client.close();
  });
});

it("shows its circuit, and tells when it changes", async () => {
  const client = await clientOf(await serve(({ stream }) => fail(stream, 13)), { circuit: { failures: 2 } });
  const events: CircuitEvent[] = [];
  const stop = client.on("circuit", (event) => events.push(event));
  expect(client.circuit).toMatchObject({ state: "closed", cause: null, consecutiveFailures: 0 });
  await client.authorize({ tool: "a" });
  await client.authorize({ tool: "a" });
  expect(client.circuit).toMatchObject({ state: "open", cause: "local", lastErrors: ["INTERNAL", "INTERNAL"] });
  expect(client.circuit.nextProbeInMs).toBeGreaterThan(26_000);
  expect(events).toMatchObject([{ from: "closed", to: "open", cause: "local" }]);
  stop();
  expect(client.status).toMatchObject({ journal: { unsynced: 2, coalescedDenies: 0 }, grant: { grant: null } });
});

it("works on without a bypass if its directory cannot be used, and says so", async () => {
  const dir = await mkdtemp(join(tmpdir(), "datacrawl-client-"));
  opened.push(() => rm(dir, { recursive: true }));
  const file = join(dir, "file");
  await writeFile(file, "not a directory");
  const warnings: Error[] = [];
  const listen = (warning: Error): void => void warnings.push(warning);
  process.on("warning", listen);
  onTestFinished(() => void process.off("warning", listen));
  const client = await clientOf(await serve(yes), { journalDir: file });
  expect(await client.authorize({ tool: "t" })).toMatchObject({ decision: "allow" });
  // Among others, such as Node's own.
  await expect
    .poll(() => warnings.map(String))
    .toContainEqual(expect.stringMatching(/^DataCrawlWarning: .*there will be no bypass/));
  expect(client.status?.problems[0]).toContain(file);
});

describe("options", () => {
  const read = (options: object, env: Record<string, string> = {}) => readOptions(options, env);

  it("have defaults, and come from the environment", () => {
    const env = { DATACRAWL_API_KEY: API_KEY };
    expect(read({}, env)).toMatchObject({
      endpoint: { url: new URL("http://127.0.0.1:7440"), identity: { bearer: API_KEY, certificateFiles: null } },
      transport: "grpc",
      agentId: "agent-1",
      timeoutMs: 5000,
      circuit: { failures: 5, probeAfterMs: 30_000 },
      redisUrl: null,
      journalDir: null,
    });
    expect(read({ transport: "connect" }, env).endpoint.url.href).toBe("http://127.0.0.1:7441/");
    expect(read({}, { ...env, DATACRAWL_URL: "https://authz.example.com" }).endpoint.url.href).toBe(
      "https://authz.example.com/",
    );
    expect(read({ url: "http://[::1]:7440", apiKey: API_KEY }).endpoint.url.host).toBe("[::1]:7440");
  });

  it.each([
    ["apiKey", { apiKey: "" }],
    ["apiKey", { apiKey: "dc_agent_agent-1_0123456789ab_short" }],
    ["url", { url: "http://10.0.0.1:7440" }],
    ["url", { url: "http://localhost.example.com" }],
    ["url", { url: "ftp://127.0.0.1" }],
    ["url", { url: "127.0.0.1:7440" }],
    ["url", { url: "http://127.0.0.1:7440/path" }],
    ["url", { url: "http://user:password@127.0.0.1:7440" }],
    ["transport", { transport: "udp" }],
    ["transport", { transport: "toString" }],
    ["timeoutMs", { timeoutMs: 0 }],
    ["timeoutMs", { timeoutMs: Number.POSITIVE_INFINITY }],
    ["timeoutMs", { timeoutMs: "5000" }],
    ["circuit.failures", { circuit: { failures: 1.5 } }],
    ["circuit.probeAfterMs", { circuit: { probeAfterMs: 0 } }],
    ["circuit.probeAfterMs", { circuit: { probeAfterMs: 0.5 } }],
    ["circuit.bypass", { circuit: { bypass: true } }],
    ["circuitBypass", { circuitBypass: true }],
    ["redisUrl", { redisUrl: "http://127.0.0.1" }],
    ["journalDir", { journalDir: "" }],
    ["ca", { ca: 5 }],
  ])("that are wrong are named, and no others: %s", (name, options) => {
    expect(() => new DataCrawl({ apiKey: API_KEY, ...options } as DataCrawlOptions)).toThrow(TypeError);
    expect(() => read({ apiKey: API_KEY, ...options })).toThrow(new RegExp(`^${name.replace(".", "\\.")} [^;]*$`));
  });

  it("say who the agent is where no key does", () => {
    const token = (): string => "t";
    const of = (options: object, env: Record<string, string> = {}) => {
      const { agentId, endpoint } = read(options, env);
      return [agentId, endpoint.identity];
    };
    expect(of({ token, agentId: "bot" })).toEqual(["bot", { bearer: token, certificateFiles: null }]);
    expect(of({ token }, { DATACRAWL_AGENT_ID: "bot", DATACRAWL_API_KEY: API_KEY })[0]).toBe("bot");
    expect(of({ apiKey: API_KEY, agentId: "agent-1" })[0]).toBe("agent-1");
    expect(of({ apiKey: API_KEY }, { DATACRAWL_AGENT_ID: "bot", DATACRAWL_TOKEN_FILE: "/nowhere" })[0]).toBe("agent-1");
  });

  it.each<[string, object, Record<string, string>]>([
    ["agentId", { token: () => "t" }, {}],
    ["agentId", { token: () => "t", agentId: "Bot" }, {}],
    ["agentId", { apiKey: API_KEY, agentId: "bot" }, {}],
    ["agentId", {}, { DATACRAWL_API_KEY: API_KEY, DATACRAWL_AGENT_ID: "bot" }],
    ["token", { token: "t", agentId: "bot" }, {}],
    ["token", { token: () => "t", apiKey: API_KEY, agentId: "bot" }, {}],
    ["token", {}, { DATACRAWL_TOKEN_FILE: "/nowhere/token", DATACRAWL_AGENT_ID: "bot" }],
    [
      "token",
      {},
      { DATACRAWL_TOKEN_FILE: "/proc/sys/kernel/ostype", DATACRAWL_API_KEY: API_KEY, DATACRAWL_AGENT_ID: "bot" },
    ],
    [
      "clientCertificate",
      { clientCertificate: { certFile: "/nowhere", keyFile: "" }, agentId: "bot", url: "https://h" },
      {},
    ],
    [
      "clientCertificate",
      {},
      { DATACRAWL_CLIENT_CERT_FILE: "/nowhere", DATACRAWL_AGENT_ID: "bot", DATACRAWL_URL: "https://h" },
    ],
  ])("that leave open who the agent is are named: %s %j", (name, options, env) => {
    expect(() => read(options, env)).toThrow(new RegExp(`^${name} [^;]*$`));
  });

  it("show a certificate over https alone", () => {
    const dir = mkdtempSync(join(tmpdir(), "datacrawl-client-"));
    opened.push(() => rm(dir, { recursive: true }));
    const { certPem, keyPem } = certificate(Date.now(), { name: "bot", usage: "client" });
    const clientCertificate = { certFile: join(dir, "c.pem"), keyFile: join(dir, "k.pem") };
    writeFileSync(clientCertificate.certFile, certPem);
    writeFileSync(clientCertificate.keyFile, keyPem);
    const options = { clientCertificate, agentId: "bot" };
    expect(read({ ...options, url: "https://h" }).endpoint.identity).toEqual({
      bearer: null,
      certificateFiles: clientCertificate,
    });
    expect(() => read({ ...options, url: "http://127.0.0.1:1" })).toThrow(/^clientCertificate .*https:[^;]*$/);
    writeFileSync(clientCertificate.keyFile, certificate(Date.now(), { name: "x" }).keyPem);
    expect(() => read({ ...options, url: "https://h" })).toThrow(/^clientCertificate .*KEY_VALUES_MISMATCH[^;]*$/);
  });

  it("are refused all at once, without secrets", () => {
    const bad = { apiKey: "dc_agent_s3cret", url: "http://u:pa55@h", timeoutMs: -1 };
    expect(() => read(bad)).toThrow(/^timeoutMs .*; apiKey .*; url /);
    expect(() => read(bad)).not.toThrow(/s3cret|pa55/);
  });
});

describe("a process", () => {
  const client = JSON.stringify(new URL("../src/index.ts", import.meta.url).href);
  const run = (body: string, env: Record<string, string> = {}) =>
    promisify(execFile)(
      process.execPath,
      ["--input-type=module-typescript", "-e", `import { DataCrawl } from ${client};${body}`],
      {
        env: { ...process.env, DATACRAWL_API_KEY: API_KEY, ...env },
        timeout: 20_000,
      },
    );

  it("ends by itself: the client does not keep it", async () => {
    const service = await serve(yes);
    const ask = 'await dc.authorize({ tool: "t" })';
    const { stdout } = await run(`const dc = new DataCrawl(); console.log((${ask}).decision)`, {
      DATACRAWL_URL: service.url.origin,
    });
    expect(stdout).toBe("allow\n");
  });

  it("ends by itself also when only the guard has talked to the service", async () => {
    const synced: unknown[] = [];
    const service = await serveGrpc(() => {}, { sync: (stream) => fail(stream, synced.push(stream) && 12) });
    opened.push(() => service.stop());
    await run("await new DataCrawl().ready(); setTimeout(() => {}, 1500)", { DATACRAWL_URL: service.url.origin });
    expect(synced.length).toBeGreaterThan(0);
  });

  it("waits for the close that it awaits, with records that nobody takes", async () => {
    const service = await serve(({ stream }) => fail(stream, 13));
    const body =
      'const dc = new DataCrawl(); await dc.authorize({ tool: "t" }); await dc.close(); console.log("closed")';
    const { stdout } = await run(body, { DATACRAWL_URL: service.url.origin });
    expect(stdout).toBe("closed\n");
  });

  it("waits for a verdict that it awaits", async () => {
    const service = await serve(() => {});
    const { stdout } = await run(
      'const dc = new DataCrawl({ timeoutMs: 700 }); console.log((await dc.authorize({ tool: "t" })).reason)',
      { DATACRAWL_URL: service.url.origin },
    );
    expect(stdout).toBe("DEADLINE_EXCEEDED\n");
  });

  it.each(["grpc", "connect"])("checks certificates also where Node is told not to: %s", async (transport) => {
    const { certPem: cert, keyPem: key } = certificate(Date.now(), {
      name: "nobody",
      hosts: ["127.0.0.1"],
      usage: "server",
    });
    const asked: string[] = [];
    const options = { cert, key, allowHTTP1: true };
    const server = createSecureServer(options, (request, response) => {
      asked.push(request.url);
      response.end();
    });
    const { port, stop } = await listenOn(server, 0);
    opened.push(stop);
    const body = `const dc = new DataCrawl({ transport: "${transport}" }); console.log((await dc.authorize({ tool: "t" })).reason)`;
    const env = { DATACRAWL_URL: `https://127.0.0.1:${port}`, NODE_TLS_REJECT_UNAUTHORIZED: "0" };
    expect((await run(body, env)).stdout).toBe("SERVICE_UNAVAILABLE\n");
    expect(asked).toEqual([]);
  });
});
