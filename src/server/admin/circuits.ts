import { create, fromJsonString } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { type GuardCircuit, GuardCircuitSchema } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { CircuitReportSchema } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import {
  type CircuitOrder,
  CircuitOrderKind,
  CircuitOrderSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/circuits_pb";
import type { PageTokens } from "../../admin/page-tokens.ts";
import type { BypassOperations } from "../../admin/bypass.ts";
import type { CircuitOperations } from "../../admin/circuits.ts";
import { timestampOf } from "../codec/timestamp.ts";
import { bypassMessage } from "./bypass.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit } from "./paging.ts";
import type { CircuitCommand } from "../../store/circuit-commands.ts";
import type { CircuitPlace, CircuitView } from "../../store/guard-records.ts";

type CircuitMethods = Pick<AdminMethods, "listCircuits" | "getCircuit" | "forceOpenCircuit" | "resetCircuit">;

export function circuitMethods(
  circuits: CircuitOperations,
  bypass: BypassOperations,
  pages: PageTokens,
): CircuitMethods {
  return {
    async listCircuits({ agentId, excludeClosed, pageSize, pageToken }) {
      const list = `circuits ${JSON.stringify([agentId, excludeClosed])}`;
      const after = pages.open(pageToken, list) as CircuitPlace | null;
      const query = { agentId: agentId || null, excludeClosed, after, limit: pageLimit(pageSize) };
      const { circuits: found, next } = await circuits.list(query);
      return { circuits: found.map(circuitMessage), nextPageToken: pages.next(next, list) };
    },
    async getCircuit({ agentId }) {
      const { circuits: found, forced, commands } = await circuits.detail(agentId);
      const [grant] = (await bypass.list({ agentId, past: false, limit: 1 })).grants;
      return {
        circuits: found.map(circuitMessage),
        ...(forced === null ? {} : { forced: commandMessage(forced) }),
        orders: commands.map(commandMessage),
        ...(grant === undefined ? {} : { bypass: bypassMessage(grant) }),
      };
    },
    async forceOpenCircuit({ agentId, reason, duration }, { actor }) {
      return { order: commandMessage(await circuits.forceOpen(agentId, reason, microsOf(duration), actor)) };
    },
    async resetCircuit({ agentId, reason }, { actor }) {
      return { order: commandMessage(await circuits.reset(agentId, reason, actor)) };
    },
  };
}

function circuitMessage({ agentId, journalId, report, reportedAt }: CircuitView): GuardCircuit {
  return create(GuardCircuitSchema, {
    agentId,
    journalId,
    report: fromJsonString(CircuitReportSchema, report, { ignoreUnknownFields: true }),
    reportedAt: timestampOf(reportedAt),
  });
}

const KIND = { force_open: CircuitOrderKind.FORCE_OPEN, reset: CircuitOrderKind.RESET } as const;

function commandMessage({ kind, epoch, issuedAt, expiresAt, ...same }: CircuitCommand): CircuitOrder {
  return create(CircuitOrderSchema, {
    ...same,
    kind: KIND[kind],
    epoch: BigInt(epoch),
    issuedAt: timestampOf(issuedAt),
    ...(expiresAt === null ? {} : { expiresAt: timestampOf(expiresAt) }),
  });
}

function microsOf(duration: Duration | undefined): number | null {
  return duration === undefined ? null : Math.round(durationMs(duration) * 1000);
}
