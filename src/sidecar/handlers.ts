import type { Answer, AuthorizeHandler, WatchHandler } from "../authorize/call.ts";
import { parseRequest } from "../core/request.ts";
import type { Clock } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import { type CallableToolsHandler, checkCallableTools } from "../authorize/callable-tools.ts";
import { beginWith, faultOf, reportWith } from "./executions.ts";
import type { OpenGuard } from "@datacrawl/client/internal/call/open";
import type { AgentHandlers } from "../server/handlers.ts";

export interface SidecarHandlersOptions {
  readonly guard: Pick<OpenGuard, "decide" | "waitForReview" | "begin" | "report" | "callableTools">;
  readonly agentId: string;
  /** How long a verdict may take, whatever its caller's deadline, in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Called with each answer. Must not throw. */
  readonly answered: (answer: Answer, tookMs: number) => void;
}

/** What is left of a caller's deadline for the way back: a deny should reach the stub before its own timer does. */
const WAY_BACK_MS = 25;

/** The guard behind AuthorizeService. What comes in is held to the same limits, and refused in the same words, as by the service. */
export function sidecarHandlers(options: SidecarHandlersOptions): AgentHandlers {
  return {
    authorize: authorizeWith(options),
    watchDecision: watchWith(options),
    beginExecution: beginWith({ ...options, wayBackMs: WAY_BACK_MS }),
    reportOutcome: reportWith({ ...options, wayBackMs: WAY_BACK_MS }),
    syncGuard: async () => {
      throw new Fault("METHOD_NOT_SERVED", "A sidecar syncs with the service by itself.");
    },
    listCallableTools: callableToolsWith(options),
    // Each answer says for itself who decided.
    source: "guard",
  };
}

/** What the service says. A guard has no policy of its own to look at. */
function callableToolsWith({ guard, agentId, timeoutMs, clock }: SidecarHandlersOptions): CallableToolsHandler {
  return async ({ readBody, deadlineAt, signal }) => {
    const asked = checkCallableTools(readBody());
    const until = Math.min(deadlineAt - WAY_BACK_MS, clock.monotonic() + timeoutMs);
    const heard = await guard.callableTools(asked, { deadlineAt: until, signal });
    if (heard.kind === "unanswered") throw faultOf(heard);
    return { agentId, policyVersion: heard.policyVersion, tools: asked.filter((tool) => heard.tools.has(tool)) };
  };
}

function authorizeWith({ guard, agentId, timeoutMs, clock, answered }: SidecarHandlersOptions): AuthorizeHandler {
  return async (call) => {
    const startedAt = clock.monotonic();
    const request = call.readBody();
    const question = parseRequest(request, agentId);
    const { tool, idempotencyKey } = question;
    const deadlineAt = Math.min(call.deadlineAt - WAY_BACK_MS, startedAt + timeoutMs);
    const verdict = await guard.decide(question, {
      deadlineAt,
      get signal() {
        return call.signal;
      },
    });
    // The echoes are of this caller's question, the nonce too: the service's answer was held against another.
    const answer: Answer = { ...verdict, agentId, tool, idempotencyKey, nonce: request.nonce };
    answered(answer, clock.monotonic() - startedAt);
    return answer;
  };
}

/** How long the first look at the current answer may take, which comes before the resolution; each further one twice as long. */
const FIRST_LOOK_MS = 500;

/** The guard reads whole streams of the service alone, so the current answer is short waits, and the resolution a long one. */
function watchWith({ guard, agentId, clock, answered }: SidecarHandlersOptions): WatchHandler {
  return async function* watch({ readBody, deadlineAt, signal }) {
    const { decisionId, nonce } = readBody();
    const startedAt = clock.monotonic();
    const wait = async (until: number): Promise<Answer> => {
      const verdict = await guard.waitForReview(decisionId, { deadlineAt: until, signal });
      return { ...verdict, agentId, nonce };
    };
    const noted = (answer: Answer): Answer => {
      answered(answer, clock.monotonic() - startedAt);
      return answer;
    };
    const end = deadlineAt - WAY_BACK_MS;
    for (let look = FIRST_LOOK_MS; ; look *= 2) {
      const current = await wait(Math.min(end, clock.monotonic() + look));
      const isFinal = current.source === "service" || current.reason === "REQUEST_REFUSED";
      if (!isFinal && !signal.aborted && clock.monotonic() < end) continue;
      yield noted(current);
      if (current.decision !== "needs_review") return;
      break;
    }
    const last = await wait(end);
    if (last.decision !== "needs_review") yield noted(last);
  };
}
