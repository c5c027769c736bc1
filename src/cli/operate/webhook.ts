import { Command } from "commander";
import {
  type WebhookMessage,
  WebhookMessageState,
  WebhookMessageStateSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/webhooks_pb";
import { withAdmin } from "../admin-client.ts";
import type { Io } from "../io.ts";
import { outJson, outTable, printable, wordOf } from "../output.ts";
import { allPages } from "../pages.ts";
import { timeOrNull } from "../timestamp-text.ts";

interface Flags {
  readonly dead?: true;
  readonly json?: true;
}

/** `datacrawl webhook list|retry`. */
export function webhookCommand(io: Io): Command {
  const command = new Command("webhook");
  command
    .command("list")
    .description("List the messages that wait or were given up, newest first.")
    .option("--dead", "only those that were given up")
    .option("--json", "print a list of messages")
    .action(async ({ dead, json }: Flags) => {
      const messages = (await listAll(io, dead === true)).map(jsonOf);
      if (json) return outJson(io, messages);
      const rows = messages.map((message) => [
        message.webhookId,
        message.type,
        message.subject,
        message.state,
        String(message.attempts),
        message.dueAt ?? "",
        message.problem,
      ]);
      outTable(io, ["ID", "TYPE", "SUBJECT", "STATE", "ATTEMPTS", "NEXT", "PROBLEM"], rows);
    });

  command
    .command("retry")
    .description("Send messages again now, and retry them for three days.")
    .argument("[id...]", "the messages' ids")
    .option("--dead", "all that were given up")
    .option("--json", "print a list of the messages")
    .action(async (ids: readonly string[], { dead, json }: Flags, self: Command) => {
      if ((ids.length === 0) === (dead === undefined)) self.error("error: name messages, or --dead for all given up");
      const wanted = dead ? (await listAll(io, true)).map(({ webhookId }) => webhookId) : ids;
      const messages = await withAdmin(io, async (admin) => {
        const retried: WebhookMessage[] = [];
        for (const webhookId of wanted) {
          const { message } = await admin.retryWebhookMessage({ webhookId });
          if (message !== undefined) retried.push(message);
        }
        return retried;
      });
      if (json) return outJson(io, messages.map(jsonOf));
      for (const { webhookId, type } of messages)
        io.out(`Tried again: ${printable(webhookId)} (${printable(type)}).\n`);
      if (messages.length === 0) io.out("Nothing was given up.\n");
    });
  return command;
}

async function listAll(io: Io, dead: boolean): Promise<WebhookMessage[]> {
  const state = dead ? WebhookMessageState.DEAD : WebhookMessageState.UNSPECIFIED;
  return await withAdmin(io, (admin) =>
    allPages(
      (page) => admin.listWebhookMessages({ state, ...page }),
      (listed) => listed.messages,
    ),
  );
}

function jsonOf({ webhookId, type, subject, state, attempts, problem, createdAt, dueAt }: WebhookMessage) {
  return {
    webhookId,
    type,
    subject,
    state: wordOf(WebhookMessageStateSchema, state).toLowerCase(),
    attempts,
    problem,
    createdAt: timeOrNull(createdAt),
    dueAt: state === WebhookMessageState.DEAD ? null : timeOrNull(dueAt),
  };
}
