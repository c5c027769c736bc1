import { makeEvent } from "../audit/event.ts";
import { hashDecision } from "../audit/hash.ts";
import type { DecisionRow, EventRow } from "../audit/record.ts";
import { AGENT_ID, formatCredential, hashSecret, newCredential } from "../authn/credential.ts";
import type { AgentState } from "../authn/directory.ts";
import type { Micros } from "../clock.ts";
import { Fault } from "../fault.ts";
import type { RandomPool } from "../ids.ts";
import { checkReason, invalid } from "./checks.ts";
import type { DecisionSummary } from "./decision-filter.ts";

/** An agent as operators see it. */
export interface AgentView {
  readonly agentId: string;
  readonly state: AgentState;
  readonly createdAt: Micros;
  /** Of its keys that are not revoked. */
  readonly keyIds: readonly string[];
}

export interface DecisionView {
  readonly row: DecisionRow;
  readonly storedHash: Uint8Array;
  /** As computed now, from the row as it is stored. */
  readonly computedHash: Uint8Array;
  readonly payload: { readonly salt: Uint8Array; readonly canonical: string } | null;
  /** The decision that it is linked to, and those that are linked to it, oldest first. */
  readonly linked: readonly DecisionSummary[];
}

interface HashedEvent {
  readonly row: EventRow;
  readonly hash: Uint8Array;
}

export interface AdminPorts {
  readonly agents: {
    create(
      agentId: string,
      key: { keyId: string; secretHash: Uint8Array },
      event: HashedEvent,
    ): Promise<AgentView | null>;
    changeState(
      agentId: string,
      from: readonly AgentState[],
      to: AgentState,
      event: HashedEvent,
    ): Promise<AgentView | null>;
    find(agentId: string): Promise<AgentView | null>;
    list(after: string, limit: number): Promise<AgentView[]>;
  };
  readonly decisions: {
    find(decisionId: string): Promise<Omit<DecisionView, "computedHash" | "linked"> | null>;
    linked(decisionId: string, linkedTo: string | null): Promise<DecisionSummary[]>;
  };
  /** Called after an agent has changed, so that this process knows at once. */
  readonly agentChanged: () => Promise<void>;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** What operators can do. Each change is committed with the event that tells of it, or not at all. */
export class AdminOperations {
  readonly #ports: AdminPorts;

  constructor(ports: AdminPorts) {
    this.#ports = ports;
  }

  /** @returns the agent and its credential, which nobody can show again */
  async createAgent(agentId: string, actor: string): Promise<{ agent: AgentView; key: string }> {
    if (!AGENT_ID.test(agentId)) {
      throw invalid("agent_id", "must be 1 to 63 of a-z, 0-9, dot and hyphen, and begin with a letter or digit");
    }
    const credential = newCredential(agentId, this.#ports.random);
    const key = { keyId: credential.keyId, secretHash: hashSecret(credential.secret) };
    const event = this.#event("agent.created", actor, agentId, { keyId: key.keyId });
    const agent = await this.#ports.agents.create(agentId, key, event);
    if (agent === null)
      throw new Fault("AGENT_EXISTS", `There is, or was, an agent ${agentId}; an id is never used twice.`);
    await this.#ports.agentChanged();
    return { agent, key: formatCredential(credential) };
  }

  /** By id, those after `after`, and whether there are more. */
  async listAgents(after: string, limit: number): Promise<{ agents: AgentView[]; more: boolean }> {
    const agents = await this.#ports.agents.list(after, limit + 1);
    return { agents: agents.slice(0, limit), more: agents.length > limit };
  }

  /** For good: its credentials are refused from now on. */
  async revokeAgent(agentId: string, actor: string): Promise<AgentView> {
    return await this.#changeState(
      agentId,
      ["active", "frozen"],
      "revoked",
      this.#event("agent.revoked", actor, agentId, {}),
    );
  }

  async freezeAgent(agentId: string, reason: string, actor: string): Promise<AgentView> {
    const event = this.#event("agent.frozen", actor, agentId, { reason: checkReason(reason) });
    return await this.#changeState(agentId, ["active"], "frozen", event);
  }

  async unfreezeAgent(agentId: string, reason: string, actor: string): Promise<AgentView> {
    const event = this.#event("agent.unfrozen", actor, agentId, { reason: checkReason(reason) });
    return await this.#changeState(agentId, ["frozen"], "active", event);
  }

  async getDecision(decisionId: string): Promise<DecisionView> {
    if (!UUID.test(decisionId)) throw invalid("decision_id", "must be a UUID");
    const stored = await this.#ports.decisions.find(decisionId.toLowerCase());
    if (stored === null) throw new Fault("DECISION_UNKNOWN", `No decision ${decisionId} is recorded.`);
    const linked = await this.#ports.decisions.linked(stored.row.decisionId, stored.row.linkedDecisionId);
    return { ...stored, computedHash: hashDecision(stored.row), linked };
  }

  /** Doing again what is done already is no error, and no event. */
  async #changeState(
    agentId: string,
    from: readonly AgentState[],
    to: AgentState,
    event: HashedEvent,
  ): Promise<AgentView> {
    const changed = await this.#ports.agents.changeState(agentId, from, to, event);
    if (changed !== null) {
      await this.#ports.agentChanged();
      return changed;
    }
    const agent = await this.#ports.agents.find(agentId);
    if (agent === null) throw new Fault("AGENT_UNKNOWN", `There is no agent ${agentId}.`);
    if (agent.state !== to) throw new Fault("AGENT_REVOKED", `The agent ${agentId} is ${agent.state}.`);
    return agent;
  }

  #event(kind: string, actor: string, subject: string, detail: Record<string, string>): HashedEvent {
    return makeEvent({ kind, actor, subject, detail }, this.#ports.now(), this.#ports.random);
  }
}
