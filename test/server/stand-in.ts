import type { Answer, Call, UnverifiedWatch } from "../../src/authorize/call.ts";
import type { UnverifiedCallableTools } from "../../src/authorize/callable-tools.ts";
import type {
  BeginAnswer,
  ReportAnswer,
  UnverifiedBegin,
  UnverifiedReport,
} from "../../src/authorize/execution-call.ts";
import type { SyncResult, UnverifiedSync } from "../../src/authorize/sync-guard.ts";
import type { ExecutionRefusal } from "../../src/execution/execution.ts";
import type { UnverifiedRequest } from "../../src/core/request.ts";
import { parseRequest } from "../../src/core/request.ts";
import { Fault, type FaultCode } from "../../src/core/fault.ts";
import type { AgentHandlers } from "../../src/server/handlers.ts";

export const CREDENTIAL = "Bearer dc_agent_agent-a_k1_secret";

/** Handlers in place of the service's: they allow what the contract allows, and do what the tool's name says. */
export interface StandIn {
  readonly handlers: AgentHandlers;
  /** The calls that it was given, oldest first. */
  readonly calls: Call<UnverifiedRequest>[];
  /** What they held, as far as it could be read. */
  readonly requests: UnverifiedRequest[];
  /** The reports that it was given. */
  readonly reports: UnverifiedReport[];
  /** How many calls of the tool "wait" were told that their caller is gone. */
  aborted: number;
  /** Lets the calls of the tools "hold" and "late" go on; those of "late" then throw. */
  release(): void;
}

/** What BeginExecution answers to these decisions; to others that they are started. */
export const STARTS: ReadonlyMap<string, readonly [BeginAnswer["state"], ExecutionRefusal?]> = new Map([
  ["already", ["already_started"]],
  ["frozen", ["refused", "AGENT_FROZEN"]],
]);

const EXECUTION = {
  executionId: "0195e0b2-7a3b-7c1d-8a2b-00000000000e",
  agentId: "agent-a",
  tool: "t",
  idempotencyKey: "k",
  startedAt: 1_700_000_000_123_456,
  startedBy: "k1",
  reportDueAt: 1_700_000_900_123_456,
  end: null,
};

export function standIn(): StandIn {
  let held = Promise.withResolvers<void>();
  const self: StandIn = {
    handlers: {
      authorize,
      watchDecision,
      beginExecution,
      reportOutcome,
      syncGuard,
      listCallableTools,
      source: "service",
    },
    calls: [],
    requests: [],
    reports: [],
    aborted: 0,
    release: () => {
      held.resolve();
      held = Promise.withResolvers<void>();
    },
  };

  async function authorize(call: Call<UnverifiedRequest>): Promise<Answer> {
    self.calls.push(call);
    if (call.authorization === undefined) throw new Fault("CREDENTIAL_MISSING", "No credential.");
    if (call.authorization !== CREDENTIAL) throw new Fault("CREDENTIAL_UNKNOWN", "An unknown credential.");
    const request = call.readBody();
    self.requests.push(request);
    const question = parseRequest(request, "agent-a");
    const [act, code] = question.tool.split(":");
    if (act === "fault")
      throw new Fault(code as FaultCode, "As you wish.", { retryAfterMs: 1500, cause: new Error("secret") });
    if (act === "throw") throw new Error("secret");
    if (act === "hold" || act === "late") await held.promise;
    if (act === "late") throw new Error("secret");
    if (act === "wait") await aborted(call.signal);
    return answerTo(question.tool, question.idempotencyKey, request.nonce);
  }

  async function aborted(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve());
    });
    self.aborted++;
  }

  async function* watchDecision({ authorization, readBody, signal }: Call<UnverifiedWatch>): AsyncGenerator<Answer> {
    if (authorization !== CREDENTIAL) throw new Fault("CREDENTIAL_UNKNOWN", "An unknown credential.");
    const { nonce } = readBody();
    yield answerTo("wait", "watched", nonce);
    await aborted(signal);
  }

  async function beginExecution({ authorization, readBody }: Call<UnverifiedBegin>): Promise<BeginAnswer> {
    if (authorization !== CREDENTIAL) throw new Fault("CREDENTIAL_UNKNOWN", "An unknown credential.");
    const { decisionId, nonce } = readBody();
    const named = { message: "As you wish.", decisionId, nonce, agentId: "agent-a" };
    const [state, reason] = STARTS.get(decisionId) ?? ["started"];
    if (state === "refused") return { ...named, state, reason: reason ?? "NOT_ALLOWED" };
    return { ...named, state, execution: EXECUTION };
  }

  async function reportOutcome({ authorization, readBody }: Call<UnverifiedReport>): Promise<ReportAnswer> {
    if (authorization !== CREDENTIAL) throw new Fault("CREDENTIAL_UNKNOWN", "An unknown credential.");
    const report = readBody();
    self.reports.push(report);
    const { decisionId, executionId, outcome } = report;
    return { decisionId, executionId, outcome: outcome ?? "unknown", endedAt: 1_700_000_000_123_456, replayed: true };
  }

  async function syncGuard(call: Call<UnverifiedSync>): Promise<SyncResult> {
    call.readBody();
    if (call.authorization === "Bearer broken") throw new Error("secret");
    return {
      recordedHashes: [],
      refused: [],
      orders: ["a"],
      grantKeys: [],
      circuitCommand: null,
      serviceTime: 1_700_000_000_123_456,
    };
  }

  async function listCallableTools({ authorization, readBody }: Call<UnverifiedCallableTools>) {
    if (authorization !== CREDENTIAL) throw new Fault("CREDENTIAL_UNKNOWN", "An unknown credential.");
    const { tools } = readBody();
    return { agentId: "agent-a", policyVersion: `sha256:${"ab".repeat(32)}`, tools };
  }

  return self;
}

function answerTo(tool: string, idempotencyKey: string, nonce: Uint8Array): Answer {
  return {
    decision: "allow",
    reason: "RULE_ALLOWED",
    message: 'Rule "r" allows this call.',
    decisionId: "0195e0b2-7a3b-7c1d-8a2b-1234567890ab",
    policyVersion: `sha256:${"ab".repeat(32)}`,
    ruleId: "r",
    replayed: false,
    decidedAt: 1_700_000_000_123_456,
    agentId: "agent-a",
    tool,
    idempotencyKey,
    nonce,
  };
}
