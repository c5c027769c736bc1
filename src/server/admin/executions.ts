import { create } from "@bufbuild/protobuf";
import { type Execution, ExecutionSchema } from "@datacrawl/proto/datacrawl/authz/v1/executions_pb";
import type { ExecutionOperations, ExecutionView } from "../../admin/executions.ts";
import { SOURCES } from "../codec/answer.ts";
import { OUTCOME, outcomeOf } from "../codec/execution.ts";
import { timestampOf } from "../codec/timestamp.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit } from "./paging.ts";

export function executionMethods(
  operations: ExecutionOperations,
): Pick<AdminMethods, "listExecutions" | "resolveExecution"> {
  return {
    async listExecutions({ unresolved, agentId, pageSize, pageToken }) {
      const query = { unresolved, agentId: agentId || null };
      const { executions, nextPageToken } = await operations.list(query, pageToken, pageLimit(pageSize));
      return { executions: executions.map(executionMessage), nextPageToken };
    },
    async resolveExecution({ decisionId, outcome, comment }, { caller }) {
      const resolved = await operations.resolve(decisionId, outcomeOf(outcome), comment, caller);
      return { execution: executionMessage(resolved) };
    },
  };
}

export function executionMessage(execution: ExecutionView): Execution {
  const { decisionId, executionId, agentId, tool, idempotencyKey, startedAt, startedBy, reportDueAt } = execution;
  const { unresolved, end, principal, sessionId, source } = execution;
  return create(ExecutionSchema, {
    decisionId,
    executionId,
    agentId,
    tool,
    idempotencyKey,
    startedAt: timestampOf(startedAt),
    startedBy,
    reportDueAt: timestampOf(reportDueAt),
    unresolved,
    source: SOURCES[source],
    ...(principal !== null && { principal }),
    ...(sessionId !== null && { sessionId }),
    ...(end !== null && {
      outcome: OUTCOME[end.outcome],
      endedAt: timestampOf(end.endedAt),
      reportedBy: end.reportedBy ?? "",
      resolvedBy: end.resolvedBy ?? "",
      comment: end.comment ?? "",
      errorCode: end.errorCode ?? "",
      summary: end.summary ?? "",
      ...(end.durationMs !== null && { durationMs: BigInt(end.durationMs) }),
    }),
  });
}
