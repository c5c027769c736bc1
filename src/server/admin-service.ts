import { create, fromJsonString } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type AdminService,
  type Agent,
  AgentSchema,
  AgentState,
  type AuditDecision,
  AuditDecisionSchema,
  type CircuitBypass,
  CircuitBypassSchema,
  type GuardCircuit,
  GuardCircuitSchema,
} from "../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { CircuitReportSchema } from "../../gen/datacrawl/authz/v1/authorize_service_pb.ts";
import { Decision, Reason, Source } from "../../gen/datacrawl/authz/v1/decision_pb.ts";
import type { BypassOperations, GrantView } from "../admin/bypass.ts";
import type { AdminOperations, AgentView } from "../admin/operations.ts";
import type { DecisionRow } from "../audit/record.ts";
import type { Micros } from "../clock.ts";
import { Fault } from "../fault.ts";
import { connectError } from "./status.ts";
import { timestampOf } from "./timestamp.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;

/** A circuit as a guard last reported it; the report is a `CircuitReport` as JSON. */
export interface CircuitView {
  readonly agentId: string;
  readonly journalId: string;
  readonly report: string;
  readonly reportedAt: Micros;
}

/** Everything that operators can do. */
export interface Admin {
  readonly operations: AdminOperations;
  readonly bypass: BypassOperations;
  readonly circuits: (agentId: string | null) => Promise<CircuitView[]>;
}

/**
 * AdminService over the operations.
 *
 * @param actor who the trail says did it
 */
export function adminService(admin: Admin, actor: string): ServiceImpl<typeof AdminService> {
  const { operations, bypass, circuits } = admin;
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
      const agent = await operations.revokeAgent(agentId, actor);
      await bypass.clear(agentId, "the agent is revoked", actor);
      return { agent: agentMessage(agent) };
    },
    async freezeAgent({ agentId, reason }) {
      const agent = await operations.freezeAgent(agentId, reason, actor);
      // A crash in between leaves a grant to a frozen agent; SyncGuard revokes it before a guard hears of it again.
      await bypass.clear(agentId, `frozen: ${reason}`.slice(0, 500), actor);
      return { agent: agentMessage(agent) };
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
    async setCircuitBypass({ agentId, tools, allTools, reason, duration }) {
      const durationMicros = duration === undefined ? null : Math.round(durationMs(duration) * 1000);
      return { bypass: bypassMessage(await bypass.set({ agentId, tools, allTools, reason, durationMicros }, actor)) };
    },
    async clearCircuitBypass({ agentId, reason }) {
      const cleared = await bypass.clear(agentId, reason, actor);
      return cleared === null ? {} : { bypass: bypassMessage(cleared) };
    },
    async listCircuitBypasses({ agentId, includePast, pageSize, pageToken }) {
      const filter = {
        agentId: agentId || null,
        past: includePast,
        before: pageTime(pageToken),
        limit: pageLimit(pageSize),
      };
      const { grants, more } = await bypass.list(filter);
      return { bypasses: grants.map(bypassMessage), nextPageToken: more ? String(grants.at(-1)?.order.issuedAt) : "" };
    },
    async listCircuits({ agentId }) {
      return { circuits: (await circuits(agentId || null)).map(circuitMessage) };
    },
  });
}

/** The same methods, whose faults become statuses. */
function answeringFaults(methods: ServiceImpl<typeof AdminService>): ServiceImpl<typeof AdminService> {
  const wrap =
    (method: (request: never, context: never) => Promise<unknown>) => async (request: never, context: never) => {
      try {
        return await method(request, context);
      } catch (error) {
        throw connectError(Fault.from(error));
      }
    };
  const entries = Object.entries(methods) as [string, (request: never, context: never) => Promise<unknown>][];
  return Object.fromEntries(entries.map(([name, method]) => [name, wrap(method)])) as typeof methods;
}

function pageTime(pageToken: string): Micros | null {
  if (pageToken === "") return null;
  if (/^\d{1,16}$/.test(pageToken)) return Number(pageToken);
  throw new Fault("FIELD_INVALID", "page_token must be a next_page_token.", { field: "page_token" });
}

function pageLimit(pageSize: number): number {
  if (pageSize === 0) return DEFAULT_PAGE;
  if (pageSize >= 1 && pageSize <= MAX_PAGE) return pageSize;
  throw new Fault("FIELD_INVALID", `page_size must be 1 to ${MAX_PAGE}, is ${pageSize}.`, { field: "page_size" });
}

const AGENT_STATE = { active: AgentState.ACTIVE, frozen: AgentState.FROZEN, revoked: AgentState.REVOKED } as const;
const DECISION = { allow: Decision.ALLOW, deny: Decision.DENY, needs_review: Decision.NEEDS_REVIEW } as const;
const SOURCE = { service: Source.SERVICE, guard: Source.GUARD } as const;

function agentMessage({ agentId, state, createdAt, keyIds }: AgentView): Agent {
  const fields = { agentId, state: AGENT_STATE[state], createdAt: timestampOf(createdAt), keyIds: [...keyIds] };
  return create(AgentSchema, fields);
}

function bypassMessage({ order, endedAt, endedBy, endedBecause }: GrantView): CircuitBypass {
  return create(CircuitBypassSchema, {
    grantId: order.grantId ?? "",
    agentId: order.agentId,
    tools: order.tools === "*" ? [] : [...order.tools],
    allTools: order.tools === "*",
    reason: order.reason,
    operator: order.operator,
    issuedAt: timestampOf(order.issuedAt),
    expiresAt: timestampOf(order.expiresAt),
    epoch: BigInt(order.epoch),
    ...(endedAt === null ? {} : { revokedAt: timestampOf(endedAt) }),
    revokedBy: endedBy ?? "",
    revokedReason: endedBecause ?? "",
  });
}

function circuitMessage({ agentId, journalId, report, reportedAt }: CircuitView): GuardCircuit {
  return create(GuardCircuitSchema, {
    agentId,
    journalId,
    report: fromJsonString(CircuitReportSchema, report, { ignoreUnknownFields: true }),
    reportedAt: timestampOf(reportedAt),
  });
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
