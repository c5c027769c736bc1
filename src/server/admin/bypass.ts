import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { type CircuitBypass, CircuitBypassSchema } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import type { BypassOperations } from "../../admin/bypass.ts";
import type { GrantView } from "../../core/bypass-order.ts";
import { timestampOf } from "../codec/timestamp.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit } from "./paging.ts";

type BypassMethods = Pick<AdminMethods, "setCircuitBypass" | "clearCircuitBypass" | "listCircuitBypasses">;

export function bypassMethods(bypass: BypassOperations): BypassMethods {
  return {
    async setCircuitBypass({ agentId, tools, allTools, reason, duration }, { actor }) {
      const durationMicros = duration === undefined ? null : Math.round(durationMs(duration) * 1000);
      return { bypass: bypassMessage(await bypass.set({ agentId, tools, allTools, reason, durationMicros }, actor)) };
    },
    async clearCircuitBypass({ agentId, reason }, { actor }) {
      const cleared = await bypass.clear(agentId, reason, actor);
      return cleared === null ? {} : { bypass: bypassMessage(cleared) };
    },
    async listCircuitBypasses({ agentId, includePast, pageSize, pageToken }) {
      const query = { agentId: agentId || null, past: includePast, limit: pageLimit(pageSize) };
      const { grants, nextPageToken } = await bypass.list(query, pageToken);
      return { bypasses: grants.map(bypassMessage), nextPageToken };
    },
  };
}

export function bypassMessage({ order, endedAt, endedBy, endedBecause }: GrantView): CircuitBypass {
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
