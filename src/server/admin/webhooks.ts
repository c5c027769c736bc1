import { create } from "@bufbuild/protobuf";
import {
  type WebhookMessage,
  WebhookMessageSchema,
  WebhookMessageState,
} from "@datacrawl/proto/datacrawl/authz/v1/webhooks_pb";
import type { PageTokens } from "../../admin/page-tokens.ts";
import type { WebhookOperations } from "../../admin/webhooks.ts";
import { Fault } from "../../core/fault.ts";
import { messageId } from "../../webhook/deliverer.ts";
import { timestampOf } from "../codec/timestamp.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit } from "./paging.ts";
import type { WaitingMessage } from "../../store/webhooks.ts";

export function webhookMethods(
  operations: WebhookOperations,
  pages: PageTokens,
): Pick<AdminMethods, "listWebhookMessages" | "retryWebhookMessage"> {
  return {
    async listWebhookMessages({ state, pageSize, pageToken }) {
      const list = `messages ${state}`;
      const filter = {
        state: stateOf(state),
        before: pages.open(pageToken, list) as number | null,
        limit: pageLimit(pageSize),
      };
      const { messages, more } = await operations.list(filter);
      const last = more ? messages.at(-1) : undefined;
      return { messages: messages.map(webhookMessage), nextPageToken: pages.next(last?.sequence, list) };
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
