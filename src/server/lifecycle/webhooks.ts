import { Counter, Gauge, type Registry } from "prom-client";
import type { Config } from "../../config.ts";
import type { Micros } from "../../core/clock.ts";
import type { OutboxFigures, SqlOutbox } from "../../store/webhooks.ts";
import { Deliverer, type DeliveryObserver, type Leased, messageId } from "../../webhook/deliverer.ts";
import { post } from "../../webhook/send.ts";
import { readWebhookSecrets } from "../../webhook/signature.ts";
import type { PeriodicTasks } from "./periodic-tasks.ts";
import { failureOf } from "../failure.ts";
import type { Log } from "./log.ts";

export interface Webhooks {
  close(): Promise<void>;
}

/**
 * Delivers to the configured webhook what triggers have noted; without one, only keeps the notes from growing.
 *
 * @throws UsageError if the secret is missing or is not one
 */
export async function openWebhooks(
  { webhook, adminPublicUrl }: Pick<Config, "webhook" | "adminPublicUrl">,
  { outbox, periodic, log, registry, now }: WebhookPorts,
): Promise<Webhooks> {
  periodic.every(3_600_000, "purge the webhook's messages", () => outbox.purge());
  if (webhook === null) return { close: async () => undefined };

  await readWebhookSecrets(webhook.secretFile);
  const metrics = new WebhookMetrics(registry);
  const measure = async (): Promise<void> => metrics.show(await outbox.figures());
  await measure();
  periodic.every(5_000, "count the webhook's messages", measure);
  const deliverer = new Deliverer({
    outbox,
    // Read each time, so that a secret can be changed without a restart.
    secrets: () => readWebhookSecrets(webhook.secretFile),
    post: (headers, body, signal) => post(webhook.url, headers, body, signal),
    publicUrl: adminPublicUrl,
    now,
    chance: () => Math.random(),
    observe: observer(metrics, log),
  });
  deliverer.start();
  return { close: () => deliverer.close() };
}

interface WebhookPorts {
  readonly outbox: SqlOutbox;
  readonly periodic: PeriodicTasks;
  readonly log: Log;
  readonly registry: Registry;
  readonly now: () => Micros;
}

function observer(metrics: WebhookMetrics, log: Log): DeliveryObserver {
  const about = (message: Leased): object => ({
    webhookId: messageId(message),
    type: message.type,
    attempt: message.attempt,
  });
  return {
    delivered: (message) => {
      metrics.attempts.inc({ outcome: "delivered" });
      log.debug(about(message), "webhook: delivered");
    },
    failed: (message, problem) => {
      metrics.attempts.inc({ outcome: "failed" });
      log.warn({ ...about(message), problem }, "webhook: not delivered, will be tried again");
    },
    buried: (message, problem) => {
      metrics.attempts.inc({ outcome: "given_up" });
      log.error({ ...about(message), problem }, "webhook: given up (datacrawl webhook list --dead)");
    },
    broken: (error) => log.error(failureOf(error), "webhook: the outbox or the secrets could not be read"),
  };
}

class WebhookMetrics {
  readonly attempts: Counter<"outcome">;
  readonly #pending: Gauge;
  readonly #dead: Gauge;
  readonly #oldest: Gauge;

  constructor(registry: Registry) {
    this.attempts = new Counter({
      name: "datacrawl_webhook_attempts_total",
      help: "Messages tried by this process: delivered, failed (and tried again), given_up.",
      labelNames: ["outcome"],
      registers: [registry],
    });
    for (const outcome of ["delivered", "failed", "given_up"]) this.attempts.inc({ outcome }, 0);
    const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers: [registry] });
    this.#pending = gauge("datacrawl_webhook_pending", "Messages that wait, of all replicas.");
    this.#dead = gauge("datacrawl_webhook_dead", "Messages that were given up and not retried since.");
    this.#oldest = gauge("datacrawl_webhook_oldest_seconds", "Age of the oldest message that waits.");
  }

  show({ pending, dead, oldestSeconds }: OutboxFigures): void {
    this.#pending.set(pending);
    this.#dead.set(dead);
    this.#oldest.set(oldestSeconds);
  }
}
