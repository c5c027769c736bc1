import { makeEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";
import { checkAgentFilter, checkReason, invalid } from "./checks.ts";
import type { CircuitCommand, SqlCircuitCommands } from "../store/circuit-commands.ts";
import type { CircuitView, CircuitQuery, CircuitPlace, SqlGuardRecords } from "../store/guard-records.ts";
import type { SqlAgentStore } from "../store/agents.ts";

export interface CircuitPorts {
  readonly commands: SqlCircuitCommands;
  readonly agents: SqlAgentStore;
  readonly guards: SqlGuardRecords;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

export interface CircuitDetail {
  /** The newest reports first, at most 100. */
  readonly circuits: readonly CircuitView[];
  /** The forced opening that is in force, or null. */
  readonly forced: CircuitCommand | null;
  /** Newest first. */
  readonly commands: readonly CircuitCommand[];
}

const MAX_MICROS: Micros = 30 * 24 * 60 * 60 * 1_000_000;
const SHOWN = { commands: 50, circuits: 100 } as const;
/** How often a command is tried again when another one takes its epoch. */
const TRIES = 5;

/** The circuits of agents' guards, and commands to them. Each command is committed with its event. */
export class CircuitOperations {
  readonly #ports: CircuitPorts;

  constructor(ports: CircuitPorts) {
    this.#ports = ports;
  }

  /** As guards last reported them, and where the next page begins; null on the last. @throws Fault FIELD_INVALID */
  async list(query: CircuitQuery): Promise<{ circuits: CircuitView[]; next: CircuitPlace | null }> {
    checkAgentFilter(query.agentId);
    const found = await this.#ports.guards.circuits({ ...query, limit: query.limit + 1 });
    const circuits = found.slice(0, query.limit);
    const last = found.length > query.limit ? circuits.at(-1) : undefined;
    return { circuits, next: last === undefined ? null : { agentId: last.agentId, journalId: last.journalId } };
  }

  /** @throws Fault AGENT_UNKNOWN */
  async detail(agentId: string): Promise<CircuitDetail> {
    await this.#mustExist(agentId);
    const commands = await this.#ports.commands.list(agentId, SHOWN.commands);
    const [newest] = commands;
    const isForced =
      newest?.kind === "force_open" && (newest.expiresAt === null || newest.expiresAt > this.#ports.now());
    const circuits = await this.#ports.guards.newestCircuits(agentId, SHOWN.circuits);
    return { circuits, forced: isForced ? newest : null, commands };
  }

  /**
   * @param durationMicros null: until it is reset
   * @throws Fault FIELD_INVALID, AGENT_UNKNOWN
   */
  async forceOpen(
    agentId: string,
    reason: string,
    durationMicros: Micros | null,
    operator: string,
  ): Promise<CircuitCommand> {
    if (durationMicros !== null && !(durationMicros > 0 && durationMicros <= MAX_MICROS)) {
      throw invalid("duration", "must be more than zero and at most 30 days");
    }
    return await this.#issue("force_open", agentId, checkReason(reason), durationMicros, operator);
  }

  /** @throws Fault FIELD_INVALID, AGENT_UNKNOWN */
  async reset(agentId: string, reason: string, operator: string): Promise<CircuitCommand> {
    return await this.#issue("reset", agentId, checkReason(reason), null, operator);
  }

  async #issue(
    kind: CircuitCommand["kind"],
    agentId: string,
    reason: string,
    durationMicros: Micros | null,
    operator: string,
  ): Promise<CircuitCommand> {
    await this.#mustExist(agentId);
    const { commands, now, random } = this.#ports;
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const newest = await commands.newest(agentId);
      const issuedAt = now();
      const expiresAt = durationMicros === null ? null : issuedAt + durationMicros;
      // Above the time in microseconds, so that a restored database does not fall behind what guards have seen.
      const epoch = Math.max((newest?.epoch ?? 0) + 1, issuedAt);
      const command = { agentId, epoch, kind, operator, reason, issuedAt, expiresAt };
      const detail = { reason, epoch, expiresAtUs: expiresAt };
      const event = makeEvent({ kind: EVENT[kind], actor: operator, subject: agentId, detail }, issuedAt, random);
      if (await commands.add(command, event)) return command;
    }
    throw new Fault("STORE_UNAVAILABLE", "The agent's circuit was changed several times at once: try again.", {
      retryAfterMs: 500,
    });
  }

  async #mustExist(agentId: string): Promise<void> {
    if ((await this.#ports.agents.find(agentId)) === null)
      throw new Fault("AGENT_UNKNOWN", `There is no agent ${agentId}.`);
  }
}

const EVENT = { force_open: "circuit.forced_open", reset: "circuit.reset" } as const;
