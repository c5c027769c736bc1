import type { Credentials } from "../authn/agents.ts";
import type { AuthenticatedAgent } from "../authn/directory.ts";
import { Fault } from "../core/fault.ts";
import type { Redaction } from "../policy/redaction.ts";
import type { Call } from "./call.ts";

export type AgentMethod =
  | "Authorize"
  | "WatchDecision"
  | "BeginExecution"
  | "ReportOutcome"
  | "SyncGuard"
  | "ListCallableTools";

/** A call that was refused. */
export interface RefusedCall {
  readonly method: AgentMethod;
  /** Null if it is not known who called. */
  readonly agentId: string | null;
  readonly call: Call<unknown>;
}

/** What the agents' RPCs have in common. */
export interface FramePorts {
  readonly agents: { authenticate(credentials: Credentials): Promise<AuthenticatedAgent> };
  readonly policy: () => { readonly redaction: Redaction };
  readonly monotonic: () => number;
  /** @throws Fault IN_RECOVERY while nobody may be allowed anything */
  readonly checkRecovery: () => void;
  /** Called once for each call that is refused, synchronously. Must not throw. */
  readonly refused: (fault: Fault, refused: RefusedCall) => void;
}

/** A method of AuthorizeService: what is done with a call once it is known who calls. */
export interface AgentRpc<Body, Result> {
  readonly method: AgentMethod;
  /** Before the body is read. @throws Fault RATE_LIMITED or SHUTTING_DOWN */
  readonly admit: (agentId: string) => void;
  /**
   * Reads the body and answers.
   *
   * @param startedAt when the call reached the frame, on the monotonic clock
   */
  readonly handle: (call: Call<Body>, agent: AuthenticatedAgent, startedAt: number) => Result;
}

/** What guards decided alone and what agents did belongs in the trail at any time, and a revocation must reach guards. */
const SERVED_IN_RECOVERY: ReadonlySet<AgentMethod> = new Set<AgentMethod>(["SyncGuard", "ReportOutcome"]);

/** `authenticate → admit → read → handle` for a method with one answer. What it rejects with is a {@link Fault}, and was noted. */
export function frameUnary<Body, Answer>(
  ports: FramePorts,
  { method, admit, handle }: AgentRpc<Body, Promise<Answer>>,
): (call: Call<Body>) => Promise<Answer> {
  const checkRecovery = recoveryCheck(ports, method);
  return async function unary(call) {
    const startedAt = ports.monotonic();
    let agent: AuthenticatedAgent | null = null;
    try {
      agent = await ports.agents.authenticate(call);
      checkRecovery();
      admit(agent.agentId);
      refuseLate(call, ports.monotonic());
      const answer = await handle(call, agent, startedAt);
      // INVARIANT: nothing is answered once a rollback is known, also where the call came before.
      checkRecovery();
      return answer;
    } catch (error) {
      throw refusal(ports, error, method, agent, call);
    }
  };
}

/** The same for a method that answers with a stream. */
export function frameStream<Body, Answer>(
  ports: FramePorts,
  { method, admit, handle }: AgentRpc<Body, AsyncGenerator<Answer, void, undefined>>,
): (call: Call<Body>) => AsyncGenerator<Answer, void, undefined> {
  const checkRecovery = recoveryCheck(ports, method);
  return async function* stream(call) {
    const startedAt = ports.monotonic();
    let agent: AuthenticatedAgent | null = null;
    try {
      agent = await ports.agents.authenticate(call);
      checkRecovery();
      admit(agent.agentId);
      refuseLate(call, ports.monotonic());
      for await (const answer of handle(call, agent, startedAt)) {
        checkRecovery();
        yield answer;
      }
    } catch (error) {
      throw refusal(ports, error, method, agent, call);
    }
  };
}

function recoveryCheck(ports: FramePorts, method: AgentMethod): () => void {
  return SERVED_IN_RECOVERY.has(method) ? () => undefined : ports.checkRecovery;
}

function refuseLate(call: Call<unknown>, now: number): void {
  if (call.deadlineAt <= now) throw new Fault("DEADLINE_EXCEEDED", "The deadline had passed before the call was read.");
}

function refusal(
  ports: FramePorts,
  error: unknown,
  method: AgentMethod,
  agent: AuthenticatedAgent | null,
  call: Call<unknown>,
): Fault {
  const fault = ports.policy().redaction.discreet(Fault.from(error));
  ports.refused(fault, { method, agentId: agent?.agentId ?? null, call });
  return fault;
}
