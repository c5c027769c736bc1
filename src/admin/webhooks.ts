import { makeEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import { type RandomPool, UUID } from "../core/ids.ts";
import type { WaitingMessage, MessageFilter, SqlOutbox } from "../store/webhooks.ts";

export interface WebhookPorts {
  readonly messages: SqlOutbox;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

/** What operators see and do of the webhook's messages. */
export class WebhookOperations {
  readonly #ports: WebhookPorts;

  constructor(ports: WebhookPorts) {
    this.#ports = ports;
  }

  async list(filter: MessageFilter): Promise<{ messages: WaitingMessage[]; more: boolean }> {
    const messages = await this.#ports.messages.list({ ...filter, limit: filter.limit + 1 });
    return { messages: messages.slice(0, filter.limit), more: messages.length > filter.limit };
  }

  /** @throws Fault WEBHOOK_MESSAGE_UNKNOWN, also if it was delivered meanwhile */
  async retry(webhookId: string, actor: string): Promise<WaitingMessage> {
    const { messages, now, random } = this.#ports;
    const sourceId = /^msg_(.*)$/.exec(webhookId)?.[1];
    const event = makeEvent({ kind: "webhook.retried", actor, subject: webhookId }, now(), random);
    const message = sourceId === undefined || !UUID.test(sourceId) ? null : await messages.retry(sourceId, event);
    if (message !== null) return message;
    throw new Fault(
      "WEBHOOK_MESSAGE_UNKNOWN",
      "No message with this id is waiting: it was delivered or never existed.",
    );
  }
}
