import { isAllow } from "../core/decision.ts";
import type { JsonObject } from "../core/json.ts";
import type { GuardVerdict, NotStarted } from "./gate.ts";
import { type ClientMessage, ErrorCode, type Refused, type RequestId, type ToolCall } from "./message.ts";

/** A JSON-RPC error. Without an id if it is not known which request it answers. */
export function errorReply(id: RequestId | null, code: number, message: string): JsonObject {
  return { jsonrpc: "2.0", ...(id !== null && { id }), error: { code, message } };
}

/** What a message is answered that was not forwarded; null for one that nobody waits for. */
function refusalReply({ id, code, message, answer, version }: Refused): JsonObject | null {
  const text = `DataCrawl did not forward this message: ${message}.`;
  if (answer === "none") return null;
  return answer === "result" && id !== null ? toolError({ id, version }, text) : errorReply(id, code, text);
}

/** What a frame is answered that could not be read at all. */
export function unreadReply(problem: string): JsonObject {
  return errorReply(null, ErrorCode.parse, `DataCrawl did not forward this message: ${problem}.`);
}

/**
 * The result of a call that is not forwarded.
 *
 * @param verdict null if it was not asked about, because another request in flight has its id
 */
export function callReply(call: ToolCall, verdict: GuardVerdict | null): JsonObject {
  if (verdict === null)
    return toolError(call, "DataCrawl did not forward this call: another request with the same id is in flight.");
  const { decision, reason, message, decisionId } = verdict;
  if (isAllow(decision)) return toolError(call, WITHHELD);
  const said =
    decision === "needs_review"
      ? "A person has to approve this call and has not decided yet. Repeat it later with the same arguments"
      : `DataCrawl denied this call: ${message.replace(/\.$/, "")}`;
  const meta = { "dev.datacrawl/decision": { decision, reason, decisionId } };
  return toolError(call, `${said} (${reason}, decision ${decisionId}).`, meta);
}

/** The result of a call that is allowed and is not forwarded, because it was not started. */
export function notStartedReply(call: ToolCall, start: NotStarted): JsonObject {
  const { state, message, decisionId } = start;
  const reason = state === "refused" ? start.reason : "ALREADY_STARTED";
  const said =
    state === "refused"
      ? `it was allowed, but could not be started: ${message.replace(/\.$/, "")}`
      : "it was started before, and whether it has run is not known here";
  const text = `DataCrawl did not forward this call: ${said} (${reason}, decision ${decisionId}).`;
  return toolError(call, text, { "dev.datacrawl/start": { state, reason, decisionId } });
}

/** What requests are answered when one of them has the id of another that is in flight. */
export function idInFlightReply(message: ClientMessage): JsonObject | null {
  if (message.kind !== "request") return null;
  const text = "DataCrawl did not forward this request: another request with the same id is in flight.";
  return errorReply(message.id, ErrorCode.invalidRequest, text);
}

/** What a message is answered that comes when the server has ended. */
export function endedReply(message: ClientMessage): JsonObject | null {
  if (message.kind !== "call" && message.kind !== "request") return null;
  return errorReply(message.id, ErrorCode.internal, "The MCP server has ended. The message was not forwarded.");
}

const WITHHELD = "The batch was not forwarded, because one of its messages is not allowed.";

function toolError(
  { id, version }: Pick<ToolCall, "id" | "version">,
  text: string,
  meta: JsonObject | null = null,
): JsonObject {
  return {
    jsonrpc: "2.0",
    id,
    result: {
      // Required since 2026-07-28, whose messages name their version.
      ...(version !== null && { resultType: "complete" }),
      content: [{ type: "text", text }],
      isError: true,
      ...(meta !== null && { _meta: meta }),
    },
  };
}

/** Says that the call waits for people. `progress` rises with `count` and stays below what a server would begin with. */
export function waitingNotice(token: RequestId, count: number, { decisionId }: GuardVerdict): JsonObject {
  const message = `Waiting for a person to approve the call (decision ${decisionId}).`;
  return {
    jsonrpc: "2.0",
    method: "notifications/progress",
    params: { progressToken: token, progress: count / 1000, message },
  };
}

/** What the other requests of a batch are answered when one of them is not allowed: a batch is forwarded whole or not at all. */
export function withheldReply(message: ClientMessage): JsonObject | null {
  if (message.kind === "refused") return refusalReply(message);
  if (message.kind === "call") return toolError(message, WITHHELD);
  return message.kind === "request" ? errorReply(message.id, ErrorCode.invalidRequest, WITHHELD) : null;
}
