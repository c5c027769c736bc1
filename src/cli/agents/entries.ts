import type { CommandGroup } from "../command-entry.ts";

/** The commands that ask the service for decisions. */
export const ASKING_GROUP: CommandGroup = {
  heading: "Ask it, and test clients that ask:",
  commands: [
    {
      name: "authorize",
      description: "Ask for one decision. Exit status: 0 allow, 2 deny, 3 needs_review.",
      load: async (io) => (await import("./authorize.ts")).authorizeCommand(io),
    },
    {
      name: "hook",
      description: "Answer the hooks of coding agents, and install them.",
      load: async (io) => (await import("../hook/command.ts")).hookCommand(io),
    },
  ],
};
