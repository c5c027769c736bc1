import { type HashedEvent, makeEvent } from "../audit/row/event.ts";
import { hashDecision } from "../audit/row/hash.ts";
import type { StoredDecision } from "../audit/row/record.ts";
import { type Credential, formatCredential, hashSecret, newCredential } from "../core/credential.ts";
import type { AgentState, AgentView, KeyRecord } from "../authn/directory.ts";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";
import { AGENT_ID, nameProblem } from "../core/names.ts";
import { checkReason, checkUuid, invalid } from "./checks.ts";
import type { DecisionSummary } from "../audit/row/decision-filter.ts";
import type { SqlAgentStore } from "../store/agents.ts";
import type { SqlDecisionReader } from "../store/decisions.ts";

export interface DecisionView extends StoredDecision {
  /** As computed now, from the row as it is stored. */
  readonly computedHash: Uint8Array;
  /** The decision that it is linked to, and those that are linked to it, oldest first. */
  readonly linked: readonly DecisionSummary[];
}

type StoredKey = Pick<KeyRecord, "keyId" | "secretHash">;

export interface AdminPorts {
  readonly agents: SqlAgentStore;
  readonly decisions: SqlDecisionReader;
  /** Called after an agent has changed, so that this process knows at once. */
  readonly agentChanged: () => Promise<void>;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

/** So that one can be replaced while the other is in use. */
const MAX_KEYS = 2;
/** How often a place for a key is looked for, where others take the ones that were found. */
const KEY_TRIES = 3;

/** What operators can do. Each change is committed with its event, or not at all. */
export class AdminOperations {
  readonly #ports: AdminPorts;

  constructor(ports: AdminPorts) {
    this.#ports = ports;
  }

  /** @returns the agent and its credential, which nobody can show again */
  async createAgent(agentId: string, actor: string): Promise<{ agent: AgentView; key: string }> {
    const { credential, stored } = this.#newKey(agentId);
    return { agent: await this.#create(agentId, stored, actor), key: formatCredential(credential) };
  }

  /** For an agent that proves who it is by other means than a key. */
  async createKeylessAgent(agentId: string, actor: string): Promise<AgentView> {
    return await this.#create(agentId, null, actor);
  }

  /** @returns a further credential of the agent, which nobody can show again */
  async createAgentKey(agentId: string, actor: string): Promise<{ keyId: string; key: string }> {
    const { credential, stored } = this.#newKey(agentId);
    const event = this.#event("agent.key_created", actor, agentId, { keyId: stored.keyId });
    for (let attempt = 1; !(await this.#ports.agents.addKey(agentId, stored, event)); attempt++) {
      const { state, keyIds } = await this.#agent(agentId);
      if (state === "revoked") throw new Fault("AGENT_REVOKED", `The agent ${agentId} is revoked.`);
      if (keyIds.length >= MAX_KEYS || attempt === KEY_TRIES) {
        const keys = keyIds.join(" and ");
        throw new Fault("AGENT_KEYS_FULL", `The agent ${agentId} has ${MAX_KEYS} keys: revoke one of ${keys} first.`);
      }
    }
    await this.#ports.agentChanged();
    return { keyId: stored.keyId, key: formatCredential(credential) };
  }

  /** For good. Doing it again is no error, and no event. */
  async revokeAgentKey(agentId: string, keyId: string, actor: string): Promise<void> {
    const event = this.#event("agent.key_revoked", actor, agentId, { keyId });
    if (await this.#ports.agents.revokeKey(agentId, keyId, event)) return await this.#ports.agentChanged();
    await this.#agent(agentId);
    if (await this.#ports.agents.hasKey(agentId, keyId)) return;
    throw new Fault("AGENT_KEY_UNKNOWN", `The agent ${agentId} has no key ${keyId}.`);
  }

  async #create(agentId: string, key: StoredKey | null, actor: string): Promise<AgentView> {
    const problem = nameProblem(agentId, "agent");
    if (problem !== null) throw invalid("agent_id", problem);
    const event = this.#event("agent.created", actor, agentId, key === null ? {} : { keyId: key.keyId });
    const agent = await this.#ports.agents.create(agentId, key, event);
    if (agent === null)
      throw new Fault(
        "AGENT_EXISTS",
        `An agent ${agentId} exists or existed, and an id is never used twice: choose another.`,
      );
    await this.#ports.agentChanged();
    return agent;
  }

  /** By id, those after `after` whose id begins with `prefix`, and whether there are more. @throws Fault FIELD_INVALID */
  async listAgents(prefix: string, after: string, limit: number): Promise<{ agents: AgentView[]; more: boolean }> {
    // Whatever an id begins with would itself be one.
    if (prefix !== "" && !AGENT_ID.test(prefix))
      throw invalid("agent_id_prefix", "must be the beginning of an id: of a-z, 0-9, dot and hyphen");
    const agents = await this.#ports.agents.list(prefix, after, limit + 1);
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
    const stored = await this.#ports.decisions.find(checkUuid("decision_id", decisionId));
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
    const agent = await this.#agent(agentId);
    if (agent.state !== to) throw new Fault("AGENT_REVOKED", `The agent ${agentId} is ${agent.state}.`);
    return agent;
  }

  async #agent(agentId: string): Promise<AgentView> {
    const agent = await this.#ports.agents.find(agentId);
    if (agent === null) throw new Fault("AGENT_UNKNOWN", `There is no agent ${agentId}.`);
    return agent;
  }

  #newKey(agentId: string): { credential: Credential; stored: StoredKey } {
    const credential = newCredential(agentId, this.#ports.random);
    return { credential, stored: { keyId: credential.keyId, secretHash: hashSecret(credential.secret) } };
  }

  #event(kind: string, actor: string, subject: string, detail: Record<string, string>): HashedEvent {
    return makeEvent({ kind, actor, subject, detail }, this.#ports.now(), this.#ports.random);
  }
}
