import { ASKING_GROUP } from "./agents/entries.ts";
import type { CommandGroup } from "./command-entry.ts";

/** By who uses them, a newcomer's first. */
export const COMMAND_GROUPS: readonly CommandGroup[] = [
  {
    heading: "Run it:",
    commands: [
      {
        name: "serve",
        description: "Run the decision service until SIGTERM or SIGINT.",
        load: async (io) => (await import("./run/serve.ts")).serveCommand(io),
      },
      {
        name: "sidecar",
        description: "Run the guard of one agent beside it, until SIGTERM or SIGINT.",
        load: async (io) => (await import("./run/sidecar.ts")).sidecarCommand(io),
      },
      {
        name: "keys",
        description: "Make and rotate the secret keys that all replicas share.",
        load: async (io) => (await import("./run/keys.ts")).keysCommand(io),
      },
      {
        name: "migrate",
        description: "Bring the database to this version's layout and make the partitions that are due, then exit.",
        load: async (io) => (await import("./run/migrate.ts")).migrateCommand(io),
      },
    ],
  },
  {
    heading: ASKING_GROUP.heading,
    commands: [
      ...ASKING_GROUP.commands,
      {
        name: "mcp",
        description: "Stand between an MCP client and an MCP server: a tool is called only if that is allowed.",
        load: async (io) => (await import("./agents/mcp.ts")).mcpCommand(io),
      },
      {
        name: "conformance",
        description: "Test a client of any language against a server that answers wrongly in every way.",
        load: async (io) => (await import("./agents/conformance.ts")).conformanceCommand(io),
      },
    ],
  },
  {
    heading: "Write policies:",
    commands: [
      {
        name: "policy",
        description: "Check, test and explain the rules.",
        load: async (io) => (await import("./policies/policy.ts")).policyCommand(io),
      },
    ],
  },
  {
    heading: "Watch it:",
    commands: [
      {
        name: "overview",
        description: "Show decisions by minute, circuits, bypasses, reviews and the last verification.",
        load: async (io) => (await import("./operate/overview.ts")).overviewCommand(io),
      },
      {
        name: "tail",
        description: "Follow decisions as they are recorded, on any replica, until Ctrl-C.",
        load: async (io) => (await import("./operate/tail.ts")).tailCommand(io),
      },
      {
        name: "decision",
        description: "Look at what was decided, and why.",
        load: async (io) => (await import("./operate/decision.ts")).decisionCommand(io),
      },
    ],
  },
  {
    heading: "Operate it:",
    commands: [
      {
        name: "review",
        description: "Look at calls that wait for people, and answer them.",
        load: async (io) => (await import("./operate/review.ts")).reviewCommand(io),
      },
      {
        name: "execution",
        description: "Look at what was started and how it ended, and resolve what nobody reported.",
        load: async (io) => (await import("./operate/execution.ts")).executionCommand(io),
      },
      {
        name: "agent",
        description: "Create, list, freeze and revoke agents.",
        load: async (io) => (await import("./agents/agent.ts")).agentCommand(io),
      },
      {
        name: "bypass",
        description:
          "Let an agent act while its circuit is open: a signed grant that must be set before the outage reaches the service.",
        load: async (io) => (await import("./operate/bypass.ts")).bypassCommand(io),
      },
      {
        name: "circuit",
        description: "Look at the guards' circuits, hold them open, reset them.",
        load: async (io) => (await import("./operate/circuit.ts")).circuitCommand(io),
      },
      {
        name: "operator",
        description: "Manage operators' local accounts, on the service's host, over its socket.",
        load: async (io) => (await import("./operate/operator.ts")).operatorCommand(io),
      },
      {
        name: "webhook",
        description: "List messages that the webhook has not received yet, and send them again.",
        load: async (io) => (await import("./operate/webhook.ts")).webhookCommand(io),
      },
    ],
  },
  {
    heading: "Audit it:",
    commands: [
      {
        name: "audit",
        description: "Look into the audit trail, verify it, seal it, prove it and export it.",
        load: async (io) => (await import("./audit/audit.ts")).auditCommand(io),
      },
    ],
  },
];
