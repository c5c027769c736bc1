import { Command, InvalidArgumentError, Option } from "commander";
import { withoutService } from "../admin-options.ts";
import type { Io } from "../io.ts";
import { parseDuration } from "../parse.ts";
import { answerHook, type HookFlags } from "./answer.ts";
import { claudeCode } from "./claude-code.ts";
import type { Host } from "./host.ts";

const HOSTS: readonly Host[] = [claudeCode];

/** `datacrawl hook`. The commands named after hosts end with status 2 except for an allow; bin/datacrawl.js sees to that. */
export function hookCommand(io: Io): Command {
  const command = withoutService(new Command("hook"));
  for (const host of HOSTS) command.addCommand(hostCommand(io, host));
  return command;
}

function hostCommand(io: Io, host: Host): Command {
  return new Command(host.name)
    .description(
      `Answer a hook of ${host.title}: its JSON on stdin, its answer on stdout. Status 2 except for an allow.`,
    )
    .addOption(
      duration(
        "--timeout <duration>",
        "how long the answer may take from the start, from 500ms to 10m",
        500,
        600_000,
      ).default(5000, "5s"),
    )
    .addOption(
      duration(
        "--review-timeout <duration>",
        "how long people may take to answer a review: 0s to 1h",
        0,
        3_600_000,
      ).default(60_000, "1m"),
    )
    .option("--url <url>", "the service (gRPC), whatever DATACRAWL_URL says")
    .option("--key-file <path>", "a file with the agent's key, whatever the environment says")
    .option("--grant-permission", `on an allow, also grant what ${host.title} would ask its user about`)
    .addHelpText(
      "after",
      `
Without --key-file the credential is DATACRAWL_API_KEY; or DATACRAWL_TOKEN_FILE, or DATACRAWL_CLIENT_CERT_FILE and
DATACRAWL_CLIENT_KEY_FILE, with DATACRAWL_AGENT_ID. DATACRAWL_CA_FILE names authorities to trust.`,
    )
    .action((flags: HookFlags) => answerHook(io, host, flags));
}

function duration(flags: string, description: string, least: number, most: number): Option {
  return new Option(flags, description).argParser((text) => {
    const milliseconds = /^0(ms|[smh])$/.test(text) ? 0 : parseDuration(text);
    if (milliseconds >= least && milliseconds <= most) return milliseconds;
    throw new InvalidArgumentError(`Write a time from ${least} ms to ${most} ms, such as 5s.`);
  });
}
