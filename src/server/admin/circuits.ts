import { create, fromJsonString } from "@bufbuild/protobuf";
import { type GuardCircuit, GuardCircuitSchema } from "../../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { CircuitReportSchema } from "../../../gen/datacrawl/authz/v1/authorize_service_pb.ts";
import type { Micros } from "../../clock.ts";
import { timestampOf } from "../timestamp.ts";
import type { AdminMethods } from "./methods.ts";

/** A circuit as a guard last reported it; the report is a `CircuitReport` as JSON. */
export interface CircuitView {
  readonly agentId: string;
  readonly journalId: string;
  readonly report: string;
  readonly reportedAt: Micros;
}

export type ListCircuits = (agentId: string | null) => Promise<CircuitView[]>;

export function circuitMethods(circuits: ListCircuits): Pick<AdminMethods, "listCircuits"> {
  return {
    async listCircuits({ agentId }) {
      return { circuits: (await circuits(agentId || null)).map(circuitMessage) };
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
