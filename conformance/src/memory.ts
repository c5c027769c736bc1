/** What the server remembers from one question to the next, so that it can answer the wrong one. */
import type { Clock } from "@datacrawl/core/clock";
import type { Method } from "./case.ts";
import { agentOf, type Body, EMPTY, type Question } from "./question.ts";

/** What a request says beside its body. */
export interface Envelope {
  readonly authorization: string | undefined;
  readonly method: Method;
  readonly codec: "proto" | "json";
  readonly accepts: readonly string[];
  readonly deadlineMs: number | null;
}

export interface Memory {
  readonly clock: Clock;
  /** The question in a request; a body that cannot be read asks about nothing. */
  questionOf(body: Body | null, envelope: Envelope): Question;
  /** The last question, for a client that follows a redirection without asking again. */
  last(): Question | null;
}

export function memory(clock: Clock): Memory {
  let last: Question | null = null;
  return {
    clock,
    questionOf(body, { authorization, ...envelope }) {
      const {
        tool,
        idempotencyKey,
        nonce,
        agentId,
        decisionId = "",
      } = body ?? {
        tool: "",
        idempotencyKey: "",
        nonce: EMPTY,
        agentId: "",
      };
      // A retry of the same start has its nonce, and is not another question.
      const isRetry = decisionId !== "" && decisionId === last?.decisionId && Buffer.compare(nonce, last.nonce) === 0;
      const earlier = isRetry || last === null ? (last?.earlier ?? null) : { ...last, earlier: null };
      const agent = agentId === "" ? agentOf(authorization) : agentId;
      const question: Question = { agentId: agent, tool, idempotencyKey, decisionId, nonce, ...envelope, earlier };
      if (tool !== "" || decisionId !== "") last = question;
      return question;
    },
    last: () => last,
  };
}
