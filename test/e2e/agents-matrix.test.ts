import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AuthorizeService } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Outcome } from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { call, cookieOf, signIn } from "../server/admin/admin-fixture.ts";
import { outcomeOfCall } from "../support/call-outcome.ts";
import { QUESTION } from "../support/agent-transports.ts";
import { type Issuer, startIssuer } from "../support/issuer.ts";
import { addReviewer } from "../support/reviewers.ts";
import { demoKey, discard, type ServiceProcess, startService } from "../support/service.ts";

const AGENTS = "datacrawl-agents";
const OPERATORS = "datacrawl-operators";

/** Every kind of caller on the agents' ports, and why it is refused there. */
const REFUSED = {
  none: "CREDENTIAL_MISSING",
  agent: null,
  "agent by token": null,
  "another agent": null,
  "frozen agent": null,
  "revoked key": "CREDENTIAL_UNKNOWN",
  "expired token": "TOKEN_EXPIRED",
  "viewer's session": "CREDENTIAL_MISSING",
  "reviewer's session": "CREDENTIAL_MISSING",
  "operator's session": "CREDENTIAL_MISSING",
  /** What the cookie holds, as if it were a bearer token. */
  "session as a bearer": "TOKEN_INVALID",
  "operator by token": "TOKEN_INVALID",
  "machine token": "TOKEN_INVALID",
} as const;
type CallerKind = keyof typeof REFUSED;
const CALLERS = Object.keys(REFUSED) as CallerKind[];
const EVERY_AGENT: readonly CallerKind[] = ["agent", "agent by token", "another agent", "frozen agent"];

/** Who may call what, written by hand from the contract. A method that is not here fails the test. */
const MAY: Readonly<Record<string, readonly CallerKind[]>> = {
  Authorize: EVERY_AGENT,
  WatchDecision: ["agent", "agent by token"],
  // A refusal is an answer.
  BeginExecution: EVERY_AGENT,
  ReportOutcome: ["agent", "agent by token"],
  SyncGuard: EVERY_AGENT,
  ListCallableTools: EVERY_AGENT,
};
/** Of the calls of agents, those about something that is another's. */
const NOT_THEIRS = { WatchDecision: "DECISION_UNKNOWN", ReportOutcome: "EXECUTION_UNKNOWN" } as Readonly<
  Record<string, string>
>;

let issuer: Issuer;
let service: ServiceProcess;
let decisionId: string;
let executionId: string;
const headers = new Map<CallerKind, Record<string, string>>();
beforeAll(async () => {
  issuer = await startIssuer();
  service = await startService({
    DATACRAWL_AGENT_JWT_ISSUER: issuer.url,
    DATACRAWL_AGENT_JWT_AUDIENCE: AGENTS,
    DATACRAWL_AGENT_JWT_JWKS_URL: issuer.jwksUrl,
    DATACRAWL_OIDC_ISSUER: issuer.url,
    DATACRAWL_OIDC_AUDIENCE: OPERATORS,
  });
  const exp = Math.floor(Date.now() / 1000) + 600;
  const bearer = (credential: string) => ({ authorization: `Bearer ${credential}` });
  const token = async (claims: object) => bearer(await issuer.sign({ iss: issuer.url, sub: "bot", exp, ...claims }));
  const human = { aud: OPERATORS, sub: "ann", datacrawl_role: "operator", auth_time: exp - 610, amr: ["pwd"] };
  const admin = async (method: string, request: object): Promise<Record<string, unknown>> => {
    const { status, body } = await call(service.adminUrl, `AdminService/${method}`, request, await token(human));
    if (status !== 200) throw new Error(`${method}: ${JSON.stringify(body)}`);
    return body;
  };
  const keyOf = async (agentId: string): Promise<string> => String((await admin("CreateAgent", { agentId }))["key"]);
  const session = async (role: string): Promise<string> => {
    await addReviewer(role, { DATACRAWL_DATA_DIR: service.dataDir }, role);
    return cookieOf(await signIn(service.adminUrl, role));
  };

  headers.set("none", {});
  headers.set("agent", bearer(await keyOf("bot")));
  headers.set("agent by token", await token({ aud: AGENTS }));
  headers.set("another agent", bearer(demoKey(service.dataDir)));
  headers.set("frozen agent", bearer(await keyOf("frosty")));
  await admin("FreezeAgent", { agentId: "frosty", reason: "a test" });
  const revoked = (await admin("CreateAgentKey", { agentId: "bot" })) as { key: string; keyId: string };
  await admin("RevokeAgentKey", { agentId: "bot", keyId: revoked.key.split("_")[3] });
  headers.set("revoked key", bearer(revoked.key));
  headers.set("expired token", await token({ aud: AGENTS, exp: exp - 1200 }));
  for (const role of ["viewer", "reviewer", "operator"] as const)
    headers.set(`${role}'s session`, { cookie: await session(role) });
  const secret = String(headers.get("operator's session")?.["cookie"]).split("=")[1] ?? "";
  headers.set("session as a bearer", bearer(secret));
  headers.set("operator by token", await token(human));
  headers.set("machine token", await token({ aud: OPERATORS, datacrawl_role: "operator" }));

  const own = await authorize(transportOf("Connect", "agent"), "own");
  decisionId = own.decisionId;
  const begin = createClient(AuthorizeService, transportOf("Connect", "agent")).beginExecution;
  executionId = (await begin({ decisionId, nonce: new Uint8Array(16) })).executionId;
});
afterAll(async () => {
  await discard(service);
  await issuer.close();
});

const LISTENERS = ["Connect", "gRPC", "the operators' port", "the socket"] as const;
type ListenerName = (typeof LISTENERS)[number];

function transportOf(listener: ListenerName, kind: CallerKind): Transport {
  const interceptors = [
    (next: (request: never) => Promise<never>) => (request: { readonly header: Headers }) => {
      for (const [name, value] of Object.entries(headers.get(kind) ?? {})) request.header.set(name, value);
      return next(request as never);
    },
  ] as never;
  if (listener === "gRPC")
    return createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}`, interceptors });
  const nodeOptions = listener === "the socket" ? { socketPath: join(service.dataDir, "admin.sock") } : {};
  const baseUrl = listener === "Connect" ? service.connectUrl : service.adminUrl;
  return createConnectTransport({ baseUrl, httpVersion: "1.1", interceptors, nodeOptions });
}

function authorize(transport: Transport, idempotencyKey: string) {
  return createClient(AuthorizeService, transport).authorize({ ...QUESTION, idempotencyKey });
}

const METHODS = Object.values(AuthorizeService.method);
const REQUESTS: Readonly<Record<string, (key: string) => object>> = {
  Authorize: (idempotencyKey) => ({ ...QUESTION, idempotencyKey }),
  WatchDecision: () => ({ decisionId }),
  BeginExecution: () => ({ decisionId, nonce: new Uint8Array(16) }),
  ReportOutcome: () => ({ decisionId, executionId, outcome: Outcome.SUCCEEDED }),
  SyncGuard: () => ({ journalId: "0195e0b2-0000-7000-8000-000000000001" }),
  ListCallableTools: () => ({ tools: [QUESTION.tool] }),
};

function outcomeOf(
  method: (typeof METHODS)[number],
  listener: ListenerName,
  kind: CallerKind,
  key: string,
): Promise<string> {
  return outcomeOfCall(method, transportOf(listener, kind), REQUESTS[method.name]?.(key) ?? {});
}

/** The idempotency keys that begin with `prefix`, of what was decided. */
async function decidedUnder(prefix: string): Promise<string[]> {
  const cookie = String(headers.get("viewer's session")?.["cookie"]);
  const { body } = await call(service.adminUrl, "AdminService/ListDecisions", { filter: { text: prefix } }, { cookie });
  return ((body["decisions"] ?? []) as { idempotencyKey: string }[]).map(({ idempotencyKey }) => idempotencyKey);
}

test("every method of agents has expectations, and there are none for others", () => {
  expect(METHODS.map(({ name }) => name).toSorted()).toEqual(Object.keys(MAY).toSorted());
});

describe.each(METHODS.map((method) => [method.name, method] as const))("AuthorizeService.%s", (name, method) => {
  test.each(LISTENERS)("over %s, as every kind of caller", async (listener) => {
    const prefix = `${name} over ${listener} as `;
    const outcomes = await Promise.all(
      CALLERS.map(async (kind) => [kind, await outcomeOf(method, listener, kind, prefix + kind)] as const),
    );
    const expected = (kind: CallerKind): string | undefined => {
      if (listener !== "Connect" && listener !== "gRPC") return "Unimplemented";
      return MAY[name]?.includes(kind) ? "ok" : (REFUSED[kind] ?? NOT_THEIRS[name]);
    };
    expect(outcomes).toEqual(CALLERS.map((kind) => [kind, expected(kind)]));
    const allowed = name === "Authorize" ? CALLERS.filter((kind) => expected(kind) === "ok") : [];
    expect((await decidedUnder(prefix)).toSorted()).toEqual(allowed.map((kind) => prefix + kind).toSorted());
  });
});
