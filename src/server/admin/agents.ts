import { create } from "@bufbuild/protobuf";
import { type Agent, AgentSchema, AgentState } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import type { PageTokens } from "../../admin/page-tokens.ts";
import type { BypassOperations } from "../../admin/bypass.ts";
import type { AdminOperations } from "../../admin/operations.ts";
import type { AgentView } from "../../authn/directory.ts";
import { timestampOf } from "../codec/timestamp.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit } from "./paging.ts";

type AgentMethods = Pick<
  AdminMethods,
  "createAgent" | "listAgents" | "createAgentKey" | "revokeAgentKey" | "revokeAgent" | "freezeAgent" | "unfreezeAgent"
>;

export function agentMethods(operations: AdminOperations, bypass: BypassOperations, pages: PageTokens): AgentMethods {
  return {
    async createAgent({ agentId, withoutKey }, { actor }) {
      if (withoutKey) return { agent: agentMessage(await operations.createKeylessAgent(agentId, actor)) };
      const { agent, key } = await operations.createAgent(agentId, actor);
      return { agent: agentMessage(agent), key };
    },
    async listAgents({ pageSize, pageToken, agentIdPrefix }) {
      const list = `agents ${agentIdPrefix}`;
      const after = (pages.open(pageToken, list) as string | null) ?? "";
      const { agents, more } = await operations.listAgents(agentIdPrefix, after, pageLimit(pageSize));
      const last = more ? agents.at(-1) : undefined;
      return { agents: agents.map(agentMessage), nextPageToken: pages.next(last?.agentId, list) };
    },
    async createAgentKey({ agentId }, { actor }) {
      return await operations.createAgentKey(agentId, actor);
    },
    async revokeAgentKey({ agentId, keyId }, { actor }) {
      await operations.revokeAgentKey(agentId, keyId, actor);
      return {};
    },
    async revokeAgent({ agentId }, { actor }) {
      const agent = await operations.revokeAgent(agentId, actor);
      await bypass.clear(agentId, "the agent is revoked", actor);
      return { agent: agentMessage(agent) };
    },
    async freezeAgent({ agentId, reason }, { actor }) {
      const agent = await operations.freezeAgent(agentId, reason, actor);
      // A crash in between leaves a grant to a frozen agent; SyncGuard revokes it before a guard hears of it again.
      await bypass.clear(agentId, `frozen: ${reason}`.slice(0, 500), actor);
      return { agent: agentMessage(agent) };
    },
    async unfreezeAgent({ agentId, reason }, { actor }) {
      return { agent: agentMessage(await operations.unfreezeAgent(agentId, reason, actor)) };
    },
  };
}

const AGENT_STATE = { active: AgentState.ACTIVE, frozen: AgentState.FROZEN, revoked: AgentState.REVOKED } as const;

function agentMessage({ agentId, state, createdAt, keyIds, freeze }: AgentView): Agent {
  const fields = { agentId, state: AGENT_STATE[state], createdAt: timestampOf(createdAt), keyIds: [...keyIds] };
  if (freeze === null) return create(AgentSchema, fields);
  const { by, at, reason } = freeze;
  return create(AgentSchema, { ...fields, freeze: { operator: by, frozenAt: timestampOf(at), reason } });
}
