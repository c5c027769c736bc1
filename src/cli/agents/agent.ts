import { Command } from "commander";
import { type Agent, AgentStateSchema } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { withAdmin } from "../admin-client.ts";
import type { Io } from "../io.ts";
import { outJson, outTable, printable, wordOf } from "../output.ts";
import { allPages } from "../pages.ts";
import { timeText } from "../timestamp-text.ts";

interface JsonFlag {
  readonly json?: true;
}

/** `datacrawl agent create|list|key|revoke|freeze|unfreeze`. */
export function agentCommand(io: Io): Command {
  const command = new Command("agent");

  command
    .command("create")
    .description("Create an agent and print its credential, which is shown only now.")
    .argument("<id>", "1 to 63 of a-z, 0-9, dot and hyphen")
    .option("--no-key", "without a key: the agent uses a token or a certificate")
    .option("--json", 'print {"agentId", "key"}')
    .action(async (id: string, flags: JsonFlag & { readonly key: boolean }) => {
      const { agent, key } = await withAdmin(io, (admin) => admin.createAgent({ agentId: id, withoutKey: !flags.key }));
      if (!flags.key) return tell(io, agent, flags);
      if (flags.json) return outJson(io, { agentId: agent?.agentId, key });
      io.err(`Created the agent ${id}. Its credential, which cannot be shown again:\n`);
      io.out(`${key}\n`);
    });

  command
    .command("list")
    .description("List all agents.")
    .option("--json", "print a list of agents")
    .action(async (flags: JsonFlag) => {
      const agents = await withAdmin(io, (admin) =>
        allPages(
          (page) => admin.listAgents(page),
          (listed) => listed.agents,
        ),
      );
      if (flags.json) return outJson(io, agents.map(jsonOf));
      const rows = agents.map((agent) => [
        agent.agentId,
        stateOf(agent),
        timeText(agent.createdAt),
        agent.keyIds.join(" "),
      ]);
      outTable(io, ["AGENT", "STATE", "CREATED", "KEYS"], rows);
    });

  command.addCommand(keyCommand(io));

  command
    .command("revoke")
    .description("Revoke an agent and its keys permanently.")
    .argument("<id>")
    .option("--json", "print the agent")
    .action(async (id: string, flags: JsonFlag) => {
      const { agent } = await withAdmin(io, (admin) => admin.revokeAgent({ agentId: id }));
      tell(io, agent, flags);
    });

  for (const verb of ["freeze", "unfreeze"] as const) {
    command
      .command(verb)
      .description(verb === "freeze" ? "Deny everything to an agent until it is unfrozen." : "Let policy decide again.")
      .argument("<id>")
      .requiredOption("--reason <text>", "why, for the audit trail")
      .option("--json", "print the agent")
      .action(async (id: string, flags: JsonFlag & { readonly reason: string }) => {
        const change = { agentId: id, reason: flags.reason };
        const { agent } = await withAdmin<{ agent?: Agent | undefined }>(io, (admin) =>
          verb === "freeze" ? admin.freezeAgent(change) : admin.unfreezeAgent(change),
        );
        tell(io, agent, flags);
      });
  }
  return command;
}

/** `datacrawl agent key add|revoke`. */
function keyCommand(io: Io): Command {
  const command = new Command("key").description(
    "Replace an agent's key: add one, put it in place, revoke the old one.",
  );

  command
    .command("add")
    .description(
      "Make one more key for an agent, which may have two, and print the credential, which is shown only now.",
    )
    .argument("<id>")
    .option("--json", 'print {"agentId", "keyId", "key"}')
    .action(async (id: string, flags: JsonFlag) => {
      const { keyId, key } = await withAdmin(io, (admin) => admin.createAgentKey({ agentId: id }));
      if (flags.json) return outJson(io, { agentId: id, keyId, key });
      io.err(`Made the key ${keyId} for the agent ${id}. The credential, which cannot be shown again:\n`);
      io.out(`${key}\n`);
    });

  command
    .command("revoke")
    .description("Revoke one key of an agent permanently; `datacrawl agent list` shows their ids.")
    .argument("<id>")
    .argument("<key-id>", "12 hex digits")
    .option("--json", 'print {"agentId", "keyId"}')
    .action(async (id: string, keyId: string, flags: JsonFlag) => {
      await withAdmin(io, (admin) => admin.revokeAgentKey({ agentId: id, keyId }));
      if (flags.json) outJson(io, { agentId: id, keyId });
      else io.out(`The key ${keyId} of the agent ${id} is revoked.\n`);
    });
  return command;
}

function tell(io: Io, agent: Agent | undefined, flags: JsonFlag): void {
  if (agent === undefined) return;
  if (flags.json) outJson(io, jsonOf(agent));
  else io.out(`The agent ${printable(agent.agentId)} is ${stateOf(agent)}.\n`);
}

function jsonOf(agent: Agent): Record<string, unknown> {
  return { agentId: agent.agentId, state: stateOf(agent), createdAt: timeText(agent.createdAt), keyIds: agent.keyIds };
}

function stateOf(agent: Agent): string {
  return wordOf(AgentStateSchema, agent.state).toLowerCase();
}
