import { create } from "@bufbuild/protobuf";
import {
  type WebhookMessage,
  WebhookMessageSchema,
  WebhookMessageState,
} from "@datacrawl/proto/datacrawl/authz/v1/webhooks_pb";
import type { WebhookOperations } from "../../admin/webhooks.ts";
import { Fault } from "../../core/fault.ts";
import { messageId } from "../../webhook/deliverer.ts";
import { timestampOf } from "../codec/timestamp.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit, pageTime } from "./paging.ts";
import type { WaitingMessage } from "../../store/webhooks.ts";

export function webhookMethods(
  operations: WebhookOperations,
): Pick<AdminMethods, "listWebhookMessages" | "retryWebhookMessage"> {
  return {
    async listWebhookMessages({ state, pageSize, pageToken }) {
      const filter = { state: stateOf(state), before: pageTime(pageToken), limit: pageLimit(pageSize) };
      const { messages, more } = await operations.list(filter);
      return {
        messages: messages.map(webhookMessage),
        nextPageToken: more ? String(messages.at(-1)?.sequence) : "",
      };
    },
    async retryWebhookMessage({ webhookId }, { actor }) {
      return { message: webhookMessage(await operations.retry(webhookId, actor)) };
    },
  };
}

const STATE = { pending: WebhookMessageState.PENDING, dead: WebhookMessageState.DEAD } as const;

function stateOf(state: WebhookMessageState): WaitingMessage["state"] | null {
  switch (state) {
    case WebhookMessageState.UNSPECIFIED:
      return null;
    case WebhookMessageState.PENDING:
      return "pending";
    case WebhookMessageState.DEAD:
      return "dead";
    default:
      throw new Fault("FIELD_INVALID", `state must be a WebhookMessageState, is ${String(state)}.`, { field: "state" });
  }
}

function webhookMessage(message: WaitingMessage): WebhookMessage {
  const { type, subject, attempts } = message;
  return create(WebhookMessageSchema, {
    type,
    subject,
    attempts,
    webhookId: messageId(message),
    state: STATE[message.state],
    problem: message.problem ?? "",
    createdAt: timestampOf(message.createdAt),
    dueAt: timestampOf(message.dueAt),
  });
}
