import { create } from "@bufbuild/protobuf";
import { type AuditDecision, AuditDecisionSchema } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import type { DecisionSearch } from "../../admin/decision-search.ts";
import type { ExecutionOperations } from "../../admin/executions.ts";
import type { AdminOperations } from "../../admin/operations.ts";
import type { PolicyOperations } from "../../admin/policies.ts";
import type { DecisionRow } from "../../audit/row/record.ts";
import { timestampOf } from "../codec/timestamp.ts";
import { DECISION, filterOf, present, REASON, SOURCE, summaryMessage } from "./decision-messages.ts";
import { executionMessage } from "./executions.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit } from "./paging.ts";
import { explanationMessage } from "./policies.ts";

type DecisionMethods = Pick<AdminMethods, "getDecision" | "listDecisions">;

export function decisionMethods(
  operations: AdminOperations,
  search: DecisionSearch,
  policies: PolicyOperations,
  executions: ExecutionOperations,
): DecisionMethods {
  return {
    async listDecisions({ filter, pageSize, pageToken }) {
      const limit = pageLimit(pageSize);
      const { decisions, nextPageToken, timeWasUp, searchedTo } = await search.list({
        filter: filterOf(filter),
        limit,
        pageToken,
      });
      return {
        decisions: decisions.map(summaryMessage),
        nextPageToken,
        timeWasUp,
        ...(searchedTo === null ? {} : { searchedTo: timestampOf(searchedTo) }),
      };
    },
    async getDecision({ decisionId }) {
      const { row, storedHash, computedHash, payload, linked } = await operations.getDecision(decisionId);
      const execution = await executions.find(row.decisionId);
      return {
        decision: decisionMessage(row),
        storedHash: new Uint8Array(storedHash),
        computedHash: new Uint8Array(computedHash),
        ...(payload === null ? {} : { payload: payload.canonical, payloadSalt: new Uint8Array(payload.salt) }),
        linked: linked.map(summaryMessage),
        ...(execution !== null && { execution: executionMessage(execution) }),
        explanation: explanationMessage(await policies.explain(row, payload?.canonical ?? null)),
      };
    },
  };
}

function decisionMessage(row: DecisionRow): AuditDecision {
  const { recordedAt, decidedAt, source, decision, reason, guardSequence, ...same } = row;
  return create(AuditDecisionSchema, {
    ...present(same),
    recordedAtUs: BigInt(recordedAt),
    decidedAtUs: BigInt(decidedAt),
    source: SOURCE[source],
    decision: DECISION[decision],
    reason: REASON[reason],
    ...(guardSequence === null ? {} : { guardSequence: BigInt(guardSequence) }),
  });
}
