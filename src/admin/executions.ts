import { makeEvent } from "../audit/row/event.ts";
import { isoMicros, type Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";
import { isAlike } from "../core/names.ts";
import {
  type Execution,
  type ExecutionEnd,
  isUnresolved,
  type Outcome,
  type StoredExecution,
} from "../execution/execution.ts";
import { actorOf, type Caller } from "./caller.ts";
import { checkAgentFilter, checkReason, checkUuid, invalid } from "./checks.ts";
import type { PageTokens } from "./page-tokens.ts";
import type { Position } from "../audit/row/position.ts";
import type { SqlExecutionStore } from "../store/executions.ts";

export interface ExecutionOperationsPorts {
  readonly store: SqlExecutionStore;
  readonly tokens: PageTokens;
  readonly now: () => Micros;
  readonly random: RandomPool;
}

/** Which executions to list. */
export interface ExecutionQuery {
  readonly unresolved: boolean;
  /** Null for every agent's. */
  readonly agentId: string | null;
}

/** An execution, and whether it is unresolved now. */
export interface ExecutionView extends StoredExecution {
  readonly unresolved: boolean;
}

const NOTED_AT_ONCE = 200;
/** How many times in a turn, so that a backlog does not keep a replica from shutting down. */
const NOTED_IN_TURN = 20;
/** More are not counted: that costs as much as they are, every few seconds. */
const COUNTED = 100_000;

/** Looking at executions, and resolving by hand those that nobody reported. */
export class ExecutionOperations {
  readonly #ports: ExecutionOperationsPorts;

  constructor(ports: ExecutionOperationsPorts) {
    this.#ports = ports;
  }

  /** With the token for the next page; empty on the last. @throws Fault FIELD_INVALID */
  async list(
    { unresolved, agentId }: ExecutionQuery,
    pageToken: string,
    limit: number,
  ): Promise<{ executions: ExecutionView[]; nextPageToken: string }> {
    const { tokens, store } = this.#ports;
    checkAgentFilter(agentId);
    const scope = `executions ${JSON.stringify([unresolved, agentId])}`;
    const start = tokens.open(pageToken, scope) as Position | null;
    const found = unresolved
      ? await store.listUnresolved(agentId, start, limit + 1)
      : await store.list(agentId, start?.id ?? null, limit + 1);
    const listed = found.slice(0, limit);
    const last = found.length > limit ? listed.at(-1) : undefined;
    return {
      executions: listed.map((execution) => this.#view(execution)),
      nextPageToken: tokens.next(last && positionOf(last, unresolved), scope),
    };
  }

  /** The execution of a decision; null if it was never started. */
  async find(decisionId: string): Promise<ExecutionView | null> {
    const execution = await this.#ports.store.findStored(decisionId);
    return execution === null ? null : this.#view(execution);
  }

  /** At most 100,000. */
  countUnresolved(): Promise<number> {
    return this.#ports.store.countUnresolved(COUNTED);
  }

  /**
   * Records how an execution ended, for an operator who has found out. The same operator may say the same again.
   *
   * @throws Fault FIELD_INVALID, EXECUTION_UNKNOWN, OUTCOME_CONTRADICTED, NOT_PERMITTED
   */
  async resolve(decisionId: string, outcome: Outcome | null, said: string, caller: Caller): Promise<ExecutionView> {
    const id = checkUuid("decision_id", decisionId);
    if (outcome === null) throw invalid("outcome", "must be OUTCOME_SUCCEEDED, OUTCOME_FAILED or OUTCOME_UNKNOWN");
    const comment = checkReason(said, "comment");
    const operator = nameOf(caller);
    const execution = await this.#known(id);
    if (isAlike(operator, execution.agentId)) {
      const problem = `${operator} has the name of the agent ${execution.agentId}; another operator has to resolve its execution.`;
      throw new Fault("NOT_PERMITTED", problem);
    }
    if (execution.end === null) {
      const endedAt = this.#ports.now();
      const facts = { errorCode: null, durationMs: null, summary: null, reportedBy: null };
      const end: ExecutionEnd = { outcome, endedAt, resolvedBy: operator, comment, ...facts };
      const { agentId, executionId } = execution;
      const detail = { executionId, outcome, comment };
      const event = makeEvent(
        { kind: "execution.ended", actor: actorOf(caller), subject: agentId, decisionId: id, detail },
        endedAt,
        this.#ports.random,
      );
      if (await this.#ports.store.resolve({ execution, end, event })) return this.#view({ ...execution, end });
    }
    const ended = await this.#known(id);
    const { end } = ended;
    if (end?.resolvedBy === operator && end.outcome === outcome && end.comment === comment) return this.#view(ended);
    throw new Fault("OUTCOME_CONTRADICTED", endOf(ended));
  }

  /** Records of each execution that has become unresolved, once, that it is. To be called now and then. */
  async noteUnresolved(): Promise<void> {
    const { store, now, random } = this.#ports;
    for (let round = 0; round < NOTED_IN_TURN; round++) {
      const unnoted = await store.listUnnoted(NOTED_AT_ONCE);
      if (unnoted.length === 0) return;
      const events = unnoted.map(({ decisionId, executionId, agentId, tool, startedAt, startedBy, reportDueAt }) => {
        const detail = { executionId, tool, startedAtUs: startedAt, startedBy, reportDueAtUs: reportDueAt };
        const facts = { kind: "execution.unresolved", actor: "service", subject: agentId, decisionId, detail };
        return makeEvent(facts, now(), random);
      });
      // Without progress another replica is at it.
      if ((await store.noteUnresolved(events)) === 0) return;
    }
  }

  async #known(decisionId: string): Promise<StoredExecution> {
    const execution = await this.#ports.store.findStored(decisionId);
    if (execution === null)
      throw new Fault("EXECUTION_UNKNOWN", `The decision ${decisionId} was never started, or is not recorded.`);
    return execution;
  }

  #view(execution: StoredExecution): ExecutionView {
    return { ...execution, unresolved: isUnresolved(execution, this.#ports.now()) };
  }
}

function positionOf({ startedAt, executionId, reportDueAt, decisionId }: Execution, unresolved: boolean): Position {
  return unresolved ? { at: reportDueAt, id: decisionId } : { at: startedAt, id: executionId };
}

/** INVARIANT: who resolves has a name. @throws Fault NOT_PERMITTED */
function nameOf(caller: Caller): string {
  if (caller.kind === "operator") return caller.name;
  throw new Fault(
    "NOT_PERMITTED",
    "An execution is resolved by a named operator: over the socket nobody has authenticated.",
  );
}

function endOf({ end }: Execution): string {
  if (end === null) return "The outcome that was recorded before could not be read.";
  const who = end.resolvedBy === null ? "The agent reported" : `${end.resolvedBy} recorded`;
  return `${who} at ${isoMicros(end.endedAt)} that the execution ended as ${end.outcome}; it stays so.`;
}
