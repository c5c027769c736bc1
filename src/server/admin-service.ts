import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type Agent,
  AgentSchema,
  AgentState,
  type AdminService,
  AuditDecisionSchema,
  type AuditDecision,
} from "../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { Decision, Reason, Source } from "../../gen/datacrawl/authz/v1/decision_pb.ts";
import type { AdminOperations, AgentView } from "../admin/operations.ts";
import type { DecisionRow } from "../audit/record.ts";
import { Fault } from "../fault.ts";
import { connectError } from "./status.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;

/**
 * AdminService over the operations.
 *
 * @param actor who the trail says did it
 */
export function adminService(operations: AdminOperations, actor: string): Partial<ServiceImpl<typeof AdminService>> {
  return answeringFaults({
    async createAgent({ agentId }) {
      const { agent, key } = await operations.createAgent(agentId, actor);
      return { agent: agentMessage(agent), key };
    },
    async listAgents({ pageSize, pageToken }) {
      const { agents, more } = await operations.listAgents(pageToken, pageLimit(pageSize));
      return { agents: agents.map(agentMessage), nextPageToken: more ? (agents.at(-1)?.agentId ?? "") : "" };
    },
    async revokeAgent({ agentId }) {
      return { agent: agentMessage(await operations.revokeAgent(agentId, actor)) };
    },
    async freezeAgent({ agentId, reason }) {
      return { agent: agentMessage(await operations.freezeAgent(agentId, reason, actor)) };
    },
    async unfreezeAgent({ agentId, reason }) {
      return { agent: agentMessage(await operations.unfreezeAgent(agentId, reason, actor)) };
    },
    async getDecision({ decisionId }) {
      const { row, storedHash, computedHash, payload } = await operations.getDecision(decisionId);
      return {
        decision: decisionMessage(row),
        storedHash: new Uint8Array(storedHash),
        computedHash: new Uint8Array(computedHash),
        ...(payload === null ? {} : { payload: payload.canonical, payloadSalt: new Uint8Array(payload.salt) }),
      };
    },
  });
}

/** The same methods, whose faults become statuses. */
function answeringFaults(methods: Partial<ServiceImpl<typeof AdminService>>): Partial<ServiceImpl<typeof AdminService>> {
  const wrap = (method: (request: never, context: never) => Promise<unknown>) => async (request: never, context: never) => {
    try {
      return await method(request, context);
    } catch (error) {
      throw connectError(Fault.from(error));
    }
  };
  const entries = Object.entries(methods) as [string, (request: never, context: never) => Promise<unknown>][];
  return Object.fromEntries(entries.map(([name, method]) => [name, wrap(method)]));
}

export function pageLimit(pageSize: number): number {
  if (pageSize === 0) return DEFAULT_PAGE;
  if (pageSize >= 1 && pageSize <= MAX_PAGE) return pageSize;
  throw new Fault("FIELD_INVALID", `page_size must be 1 to ${MAX_PAGE}, is ${pageSize}.`, { field: "page_size" });
}

const AGENT_STATE = { active: AgentState.ACTIVE, frozen: AgentState.FROZEN, revoked: AgentState.REVOKED } as const;
const DECISION = { allow: Decision.ALLOW, deny: Decision.DENY, needs_review: Decision.NEEDS_REVIEW } as const;
const SOURCE = { service: Source.SERVICE, guard: Source.GUARD } as const;

function agentMessage({ agentId, state, createdAt, keyIds }: AgentView): Agent {
  const fields = { agentId, state: AGENT_STATE[state], createdAt: timestampFromMs(createdAt / 1000), keyIds: [...keyIds] };
  return create(AgentSchema, fields);
}

function decisionMessage(row: DecisionRow): AuditDecision {
  const { recordedAt, decidedAt, source, decision, reason, guardSequence, ...same } = row;
  return create(AuditDecisionSchema, {
    ...present(same),
    recordedAtUs: BigInt(recordedAt),
    decidedAtUs: BigInt(decidedAt),
    source: SOURCE[source],
    decision: DECISION[decision],
    reason: Reason[reason],
    ...(guardSequence === null ? {} : { guardSequence: BigInt(guardSequence) }),
  });
}

/** Without the columns that are NULL: those fields of the message stay absent. Bytes as plain arrays, as protobuf-es has them. */
function present<Row extends object>(row: Row): { [Name in keyof Row]?: NonNullable<Row[Name]> } {
  const entries = Object.entries(row).filter(([, value]) => value !== null);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value instanceof Uint8Array ? new Uint8Array(value) : (value as unknown)]),
  ) as { [Name in keyof Row]?: NonNullable<Row[Name]> };
}
