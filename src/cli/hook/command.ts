import { Command, InvalidArgumentError, Option } from "commander";
import { UsageError } from "../../core/fault.ts";
import { withoutService } from "../admin-options.ts";
import type { Io } from "../io.ts";
import { parseDuration } from "../parse.ts";
import { answerHook, type HookFlags } from "./answer.ts";
import { claudeCode } from "./claude-code.ts";
import { codex } from "./codex.ts";
import { copilotCli } from "./copilot-cli.ts";
import { geminiCli } from "./gemini-cli.ts";
import type { Host } from "./host.ts";
import type { ScopeFlags } from "./install.ts";

const HOSTS: readonly Host[] = [claudeCode, codex, copilotCli, geminiCli];

/** `datacrawl hook`. The commands named after hosts end with status 2 except for an allow; bin/datacrawl.js sees to that. */
export function hookCommand(io: Io): Command {
  const command = withoutService(new Command("hook"));
  for (const host of HOSTS) command.addCommand(hostCommand(io, host));
  return command.addCommand(installCommand(io)).addCommand(uninstallCommand(io)).addCommand(testCommand(io));
}

function hostCommand(io: Io, host: Host): Command {
  const command = answering(new Command(host.name));
  if (host.grants) granting(command);
  return command
    .description(
      `Answer a hook of ${host.title}: its JSON on stdin, its answer on stdout. Status 2 except for an allow.`,
    )
    .addHelpText(
      "after",
      `
Without --key-file the credential is DATACRAWL_API_KEY; or DATACRAWL_TOKEN_FILE, or DATACRAWL_CLIENT_CERT_FILE and
DATACRAWL_CLIENT_KEY_FILE, with DATACRAWL_AGENT_ID. DATACRAWL_CA_FILE names authorities to trust.`,
    )
    .action((flags: HookFlags) => answerHook(io, host, flags));
}

/** What a hook takes, and what `install` writes behind it. */
function answering(command: Command): Command {
  return command
    .addOption(
      duration(
        "--timeout <duration>",
        "how long the answer may take from its start, from 500ms to 10m",
        500,
        600_000,
      ).default(5000, "5s"),
    )
    .addOption(
      duration(
        "--review-timeout <duration>",
        "how long people may take to answer a review, from 0s to 1h",
        0,
        3_600_000,
      ).default(60_000, "1m"),
    )
    .option("--url <url>", "the service (gRPC), whatever DATACRAWL_URL says")
    .option("--key-file <path>", "a file with the agent's key, whatever the environment says");
}

function granting(command: Command): Command {
  return command.option("--grant-permission", "on an allow, also grant what the host would ask its user about");
}

function installCommand(io: Io): Command {
  return granting(answering(scoped(new Command("install"))))
    .description("Add the hook to a host's settings. Shows what changes; writes it with --yes.")
    .option(
      "--command <command>",
      "how the host's shell calls datacrawl; by default this installation's path, in project settings `datacrawl`",
    )
    .option("--yes", "write what is shown")
    .option("--json", 'print {"path", "diff", "changed", "written"}')
    .action(async (name: string, flags: ScopeFlags & HookFlags) => {
      await (await import("./install.ts")).installHook(io, hostOf(name), flags);
    });
}

function uninstallCommand(io: Io): Command {
  return scoped(new Command("uninstall"))
    .description("Remove the hook from a host's settings. Shows what changes; writes it with --yes.")
    .option("--yes", "write what is shown")
    .option("--json", 'print {"path", "diff", "changed", "written"}')
    .action(async (name: string, flags: ScopeFlags) => {
      await (await import("./install.ts")).uninstallHook(io, hostOf(name), flags);
    });
}

function testCommand(io: Io): Command {
  return new Command("test")
    .argument("<host>", HOST_LIST)
    .description(
      "Run the installed hooks with a call that must be denied. Exit status 1 unless the service's decision blocks it.",
    )
    .option("--scope <scope>", "whose settings; by default all")
    .option("--json", 'print {"problems", "commands"}')
    .action(async (name: string, flags: { scope?: string; json?: true }) => {
      await (await import("./self-test.ts")).testHook(io, hostOf(name), flags);
    });
}

const HOST_LIST = `the host: ${HOSTS.map(({ name }) => name).join(", ")}`;

function scoped(command: Command): Command {
  return command
    .argument("<host>", HOST_LIST)
    .option(
      "--scope <scope>",
      "whose settings: user, project, or for claude-code local, the user's for this project",
      "user",
    );
}

/** @throws UsageError */
function hostOf(name: string): Host {
  const host = HOSTS.find((one) => one.name === name);
  if (host !== undefined) return host;
  throw new UsageError([
    `there is no host ${JSON.stringify(name)}: write one of ${HOSTS.map((one) => one.name).join(", ")}`,
  ]);
}

function duration(flags: string, description: string, least: number, most: number): Option {
  return new Option(flags, description).argParser((text) => {
    const milliseconds = /^0(ms|[smh])$/.test(text) ? 0 : parseDuration(text);
    if (milliseconds >= least && milliseconds <= most) return milliseconds;
    throw new InvalidArgumentError(`Write a time from ${least} ms to ${most} ms, such as 5s.`);
  });
}
