import { create } from "@bufbuild/protobuf";
import { type AuditDecision, AuditDecisionSchema } from "../../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { Decision, Reason, Source } from "../../../gen/datacrawl/authz/v1/decision_pb.ts";
import type { AdminOperations } from "../../admin/operations.ts";
import type { DecisionRow } from "../../audit/record.ts";
import type { AdminMethods } from "./methods.ts";

export function decisionMethods(operations: AdminOperations): Pick<AdminMethods, "getDecision"> {
  return {
    async getDecision({ decisionId }) {
      const { row, storedHash, computedHash, payload } = await operations.getDecision(decisionId);
      return {
        decision: decisionMessage(row),
        storedHash: new Uint8Array(storedHash),
        computedHash: new Uint8Array(computedHash),
        ...(payload === null ? {} : { payload: payload.canonical, payloadSalt: new Uint8Array(payload.salt) }),
      };
    },
  };
}

const DECISION = { allow: Decision.ALLOW, deny: Decision.DENY, needs_review: Decision.NEEDS_REVIEW } as const;
const SOURCE = { service: Source.SERVICE, guard: Source.GUARD } as const;

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
