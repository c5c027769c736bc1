import type { Interceptor, Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { Outcome } from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import { OperatorRole } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { SessionService } from "@datacrawl/proto/datacrawl/authz/v1/session_service_pb";
import { SqlRecordStore } from "../../../src/store/records.ts";
import { outcomeOfCall } from "../../support/call-outcome.ts";
import { entryFor } from "../../support/entries.ts";
import { type Issuer, startIssuer } from "../../support/issuer.ts";
import {
  addOperator,
  call,
  cookieOf,
  newestEventOf,
  type AdminFixture,
  openAdminFixture,
  PASSWORD,
  signIn,
} from "./admin-fixture.ts";
import { query } from "../../support/sql.ts";

/** Every kind of caller, and why it is refused what it may not do. */
const REFUSED = {
  none: "CREDENTIAL_MISSING",
  agent: "CREDENTIAL_UNKNOWN",
  viewer: "NOT_PERMITTED",
  reviewer: "NOT_PERMITTED",
  operator: "NOT_PERMITTED",
  /** An operator's session that is older than five minutes. */
  "operator of this morning": "NOT_PERMITTED",
  /** A token of the issuer for a human who has just signed in there. */
  "operator by token": "NOT_PERMITTED",
  /** The same without `auth_time` and `amr`. */
  "machine token": "NOT_PERMITTED",
  "expired token": "TOKEN_EXPIRED",
  "signed-out cookie": "SESSION_ENDED",
  socket: "NOT_PERMITTED",
  "agent over the socket": "CREDENTIAL_UNKNOWN",
} as const;
type CallerKind = keyof typeof REFUSED;
const CALLERS = Object.keys(REFUSED) as CallerKind[];

const HUMANS: readonly CallerKind[] = ["operator", "operator by token"];
const OPERATORS: readonly CallerKind[] = [...HUMANS, "operator of this morning", "machine token"];
const NAMED: readonly CallerKind[] = [...OPERATORS, "viewer", "reviewer"];
const ANSWERS: readonly CallerKind[] = [...HUMANS, "operator of this morning", "reviewer"];
const READS: readonly CallerKind[] = [...NAMED, "socket"];
const CHANGES: readonly CallerKind[] = [...OPERATORS, "socket"];

/**
 * Who may call what, written by hand: this is what the documentation promises, not what the code says. A method that is not here
 * fails the test.
 */
const MAY: Readonly<Record<string, readonly CallerKind[]>> = {
  "AdminService.CreateAgent": CHANGES,
  "AdminService.ListAgents": READS,
  "AdminService.CreateAgentKey": CHANGES,
  "AdminService.RevokeAgentKey": CHANGES,
  "AdminService.RevokeAgent": CHANGES,
  "AdminService.FreezeAgent": CHANGES,
  "AdminService.UnfreezeAgent": CHANGES,
  "AdminService.GetDecision": READS,
  "AdminService.ListDecisions": READS,
  "AdminService.GetOverview": READS,
  "AdminService.WatchAdmin": READS,
  "AdminService.SetCircuitBypass": HUMANS,
  "AdminService.ClearCircuitBypass": CHANGES,
  "AdminService.ListCircuitBypasses": READS,
  "AdminService.ListCircuits": READS,
  "AdminService.GetCircuit": READS,
  "AdminService.ForceOpenCircuit": CHANGES,
  "AdminService.ResetCircuit": CHANGES,
  "AdminService.CreateOperator": ["socket"],
  "AdminService.ListOperators": READS,
  "AdminService.RemoveOperator": ["socket"],
  "AdminService.SetOperatorRole": ["socket"],
  "AdminService.SetOperatorPassword": ["socket"],
  "AdminService.EnableOperatorTotp": ["socket"],
  "AdminService.DisableOperatorTotp": ["socket"],
  "AdminService.GetAuditStatus": READS,
  "AdminService.SealAudit": CHANGES,
  "AdminService.ListAuditKeys": READS,
  "AdminService.RotateAuditKey": CHANGES,
  "AdminService.AcknowledgeAuditRollback": CHANGES,
  "AdminService.ListWebhookMessages": READS,
  "AdminService.RetryWebhookMessage": CHANGES,
  "AdminService.GetPolicies": READS,
  "AdminService.ListPolicyVersions": READS,
  "AdminService.TestPolicy": READS,
  "AdminService.StartAuditVerification": CHANGES,
  "AdminService.GetAuditRun": READS,
  "AdminService.ListAuditRuns": READS,
  "AdminService.ProveDecision": READS,
  "AdminService.ProveConsistency": READS,
  "AdminService.ExportAudit": READS,
  "AdminService.RecordExport": CHANGES,
  "AdminService.ErasePayload": CHANGES,
  "AdminService.GetRecovery": READS,
  "AdminService.ListReviews": READS,
  "AdminService.GetReview": READS,
  "AdminService.ApproveReview": ANSWERS,
  "AdminService.RejectReview": ANSWERS,
  "AdminService.WithdrawApproval": ANSWERS,
  "AdminService.ListExecutions": READS,
  "AdminService.ResolveExecution": HUMANS,
  "SessionService.GetSession": NAMED,
  "SessionService.SignIn": CALLERS,
  "SessionService.SignOut": CALLERS,
};

/** A request that succeeds for whoever may make it, where an empty one does not; `n` is the caller's number. */
const REQUESTS: Readonly<Record<string, (n: number) => object>> = {
  "AdminService.CreateAgent": (n) => ({ agentId: `new-${n}` }),
  "AdminService.CreateAgentKey": (n) => ({ agentId: `agent-${n}` }),
  "AdminService.RevokeAgentKey": (n) => ({ agentId: `agent-${n}`, keyId: keyIds[n] }),
  "AdminService.GetCircuit": (n) => ({ agentId: `agent-${n}` }),
  "AdminService.ForceOpenCircuit": (n) => ({ agentId: `agent-${n}`, reason: "r" }),
  "AdminService.ResetCircuit": (n) => ({ agentId: `agent-${n}`, reason: "r" }),
  "AdminService.RetryWebhookMessage": () => ({ webhookId: decisionId }),
  "AdminService.TestPolicy": () => ({
    files: [{ name: "a.yaml", text: POLICY }],
    agentId: "a",
    tool: "t",
    payload: {},
  }),
  "AdminService.GetAuditRun": () => ({ runId: decisionId }),
  "AdminService.ProveDecision": () => ({ decisionId }),
  "AdminService.ProveConsistency": () => ({ first: checkpoint }),
  "AdminService.ExportAudit": () => ({ toUs: 5n }),
  "AdminService.RecordExport": () => ({ toUs: 5n, sha256: new Uint8Array(32) }),
  "AdminService.ErasePayload": () => ({ decisionId, reason: "r" }),
  "AdminService.GetReview": () => ({ reviewId: decisionId }),
  "AdminService.ApproveReview": () => ({ reviewId: decisionId, comment: "c" }),
  "AdminService.RejectReview": () => ({ reviewId: decisionId, comment: "c" }),
  "AdminService.WithdrawApproval": () => ({ reviewId: decisionId, comment: "c" }),
  "AdminService.ResolveExecution": () => ({ decisionId, outcome: Outcome.FAILED, comment: "c" }),
  "AdminService.RevokeAgent": (n) => ({ agentId: `agent-${n}` }),
  "AdminService.FreezeAgent": (n) => ({ agentId: `agent-${n}`, reason: "r" }),
  "AdminService.UnfreezeAgent": (n) => ({ agentId: `agent-${n}`, reason: "r" }),
  "AdminService.GetDecision": () => ({ decisionId }),
  "AdminService.WatchAdmin": () => ({ overview: true }),
  "AdminService.SetCircuitBypass": (n) => ({ agentId: `agent-${n}`, allTools: true, reason: "r" }),
  "AdminService.ClearCircuitBypass": (n) => ({ agentId: `agent-${n}`, reason: "r" }),
  "AdminService.CreateOperator": (n) => ({ name: `new-${n}`, role: OperatorRole.VIEWER, password: PASSWORD }),
  "AdminService.SetOperatorRole": () => ({ name: "changed", role: OperatorRole.VIEWER }),
  "AdminService.SetOperatorPassword": () => ({ name: "changed", password: PASSWORD }),
  "AdminService.EnableOperatorTotp": () => ({ name: "changed" }),
  "AdminService.DisableOperatorTotp": () => ({ name: "changed" }),
  "AdminService.RemoveOperator": () => ({ name: "changed" }),
  "AdminService.AcknowledgeAuditRollback": () => ({ reason: "r" }),
  "SessionService.SignIn": () => ({ name: "someone", password: PASSWORD }),
};

const POLICY = "rules:\n  - { id: a, tools: [t], effect: allow }\n";

/** What those who may get where the state that the call needs is not there: they have been let in. */
const FAULTS: Readonly<Record<string, string>> = {
  "AdminService.AcknowledgeAuditRollback": "AUDIT_NOT_ROLLED_BACK",
  "AdminService.RetryWebhookMessage": "WEBHOOK_MESSAGE_UNKNOWN",
  "AdminService.GetPolicies": "POLICY_UNKNOWN",
  "AdminService.GetAuditRun": "AUDIT_RUN_UNKNOWN",
  "AdminService.GetReview": "REVIEW_UNKNOWN",
  "AdminService.ApproveReview": "REVIEW_UNKNOWN",
  "AdminService.RejectReview": "REVIEW_UNKNOWN",
  "AdminService.WithdrawApproval": "REVIEW_UNKNOWN",
  "AdminService.ResolveExecution": "EXECUTION_UNKNOWN",
};

/** In an order in which they do not spoil each other's state: freeze before unfreeze, sign out last. */
const LAST = ["RevokeAgentKey", "RevokeAgent", "RemoveOperator", "SignIn", "SignOut"];
const METHODS = [...Object.values(AdminService.method), ...Object.values(SessionService.method)].toSorted(
  (a, b) => LAST.indexOf(a.name) - LAST.indexOf(b.name),
);

let fixture: AdminFixture;
let issuer: Issuer;
let decisionId: string;
let checkpoint: string;
let keyIds: readonly (string | undefined)[];
const transports = new Map<CallerKind, Transport>();
beforeAll(async () => {
  issuer = await startIssuer();
  fixture = await openAdminFixture({ issuer });
  for (const role of ["viewer", "reviewer", "operator"] as const) await addOperator(fixture, role, role);
  await addOperator(fixture, "changed", "viewer");
  await addOperator(fixture, "someone", "viewer");
  const keys = await Promise.all(CALLERS.map((_, n) => fixture.admin.operations.createAgent(`agent-${n}`, "test")));
  keyIds = keys.map(({ agent }) => agent.keyIds[0]);
  const entry = entryFor("matrix");
  await new SqlRecordStore(fixture.store.database.kysely).recordBatch([entry]);
  decisionId = entry.row.decisionId;
  checkpoint = (await fixture.admin.audit.seal()).note ?? "";

  const stale = await cookie("operator");
  await query(
    fixture.store.database,
    "UPDATE operator_sessions SET signed_in_at = now() - interval '5 minutes 1 second'",
  );
  const signedOut = await cookie("operator");
  await call(fixture.url, "SessionService/SignOut", {}, { cookie: signedOut });
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer.url, aud: "datacrawl", sub: "ann", datacrawl_role: "operator", exp: now + 600 };
  const human = { auth_time: now - 10, amr: ["pwd"] };
  const bearer = async (more: object) => ({ authorization: `Bearer ${await issuer.sign({ ...claims, ...more })}` });
  const agent = { authorization: `Bearer ${keys[0]?.key}` };

  for (const role of ["viewer", "reviewer", "operator"] as const) comes(role, { cookie: await cookie(role) });
  comes("none", {});
  comes("agent", agent);
  comes("operator of this morning", { cookie: stale });
  comes("operator by token", await bearer(human));
  comes("machine token", await bearer({}));
  comes("expired token", await bearer({ ...human, exp: now - 60 }));
  comes("signed-out cookie", { cookie: signedOut });
  comes("socket", {}, fixture.socketPath);
  comes("agent over the socket", agent, fixture.socketPath);
});
afterAll(async () => {
  await fixture.close();
  await issuer.close();
});

const cookie = async (name: string): Promise<string> => cookieOf(await signIn(fixture.url, name));

function comes(kind: CallerKind, headers: Readonly<Record<string, string>>, socketPath?: string): void {
  const credential: Interceptor = (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return next(request);
  };
  const nodeOptions = socketPath === undefined ? {} : { socketPath };
  const interceptors = [credential];
  transports.set(kind, createConnectTransport({ baseUrl: fixture.url, httpVersion: "1.1", interceptors, nodeOptions }));
}

type Method = (typeof METHODS)[number];

function outcomeOf(method: Method, kind: CallerKind): Promise<string> {
  const request = REQUESTS[nameOf(method)]?.(CALLERS.indexOf(kind)) ?? {};
  return outcomeOfCall(method, transports.get(kind) as Transport, request);
}

function nameOf({ parent, name }: Method): string {
  return `${parent.name}.${name}`;
}

/** Everything that a call could change, except for the trail and the sessions themselves. */
async function state(): Promise<string> {
  const tables = ["agents", "agent_keys", "operators", "circuit_orders"];
  const dumps = tables.map((table) => `(SELECT json_agg(t ORDER BY t::text)::text FROM ${table} t)`);
  const [row] = await query<{ all: string }>(
    fixture.store.database,
    `SELECT concat_ws('|', ${dumps.join(", ")}) AS all`,
  );
  return row?.all ?? "";
}

test("every method has expectations, and there are none for others", () => {
  expect(METHODS.map(nameOf).toSorted()).toEqual(Object.keys(MAY).toSorted());
});

describe.each(METHODS.map((method) => [nameOf(method), method] as const))("%s", (name, method) => {
  test.each(CALLERS)("%s", async (kind) => {
    const before = await state();
    const outcome = await outcomeOf(method, kind);
    if (MAY[name]?.includes(kind)) {
      expect(outcome).toBe(FAULTS[name] ?? "ok");
      return;
    }
    const notFresh = MAY[name] === HUMANS && OPERATORS.includes(kind);
    const missing = name === "SessionService.GetSession" && kind === "socket";
    const reason = missing ? "CREDENTIAL_MISSING" : notFresh ? "SIGN_IN_NOT_FRESH" : REFUSED[kind];
    expect(outcome).toBe(reason);
    expect(await state()).toBe(before);
    // Strangers have rows of their own only as long as they are few.
    if (NAMED.includes(kind))
      expect((await newestEventOf(fixture))?.detail).toMatchObject({ method: name, outcome: reason });
  });
});
