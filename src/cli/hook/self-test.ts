import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { UsageError } from "../../core/fault.ts";
import { ExitCode, type Io } from "../io.ts";
import { outJson, printableLines } from "../output.ts";
import type { Host } from "./host.ts";
import { settingsPath } from "./install.ts";
import { readSettings } from "./settings-file.ts";

/** A tool that no host has: no rule should allow it. */
const NO_TOOL = "DataCrawlSelfTest";
/** What a deny says if a rule, or the lack of one, decided it: any other deny is a failure of some kind. */
const DECIDED = /: (RULE_DENIED|NO_MATCHING_RULE|RULE_ERROR): .*\(decision ([0-9a-f-]{36})\)/;
const MAX_OUTPUT = 64 * 1024;

interface Finding {
  readonly command: string;
  /** Null if a signal ended it. */
  readonly status: number | null;
  readonly decisionId: string | null;
  /** Null if the command blocks, and does so by a decision. */
  readonly problem: string | null;
}

/** Runs the installed commands as the host does, with a call that must be denied, and says whether they block it. */
export async function testHook(io: Io, host: Host, { scope, json }: { scope?: string; json?: true }): Promise<void> {
  const scopes = scope === undefined ? Object.keys(host.settings.files) : [scope];
  const files = scopes.map((one) => readSettings(settingsPath(io, host, one)));
  const commands = files.flatMap(({ settings }) => host.settings.commands(settings));
  if (commands.length === 0)
    throw new UsageError([
      `no hook is installed in ${files.map(({ path }) => path).join(", ")}: datacrawl hook install ${host.name}`,
    ]);
  const problems = files.flatMap(({ path, settings }) => {
    const problem = host.settings.problem(settings);
    return problem === null ? [] : [`${path}: ${problem}`];
  });
  const findings: Finding[] = [];
  for (const command of commands) findings.push(await tryCommand(io, host, command));
  if (json) outJson(io, { problems, commands: findings });
  else {
    for (const { command, problem, decisionId } of findings) {
      const result = problem === null ? `blocks a call that is denied (decision ${decisionId})` : `FAILS: ${problem}`;
      io.out(printableLines(`${command}\n  ${result}\n`));
    }
    for (const problem of problems) io.out(printableLines(`FAILS: ${problem}\n`));
  }
  if (problems.length > 0 || findings.some(({ problem }) => problem !== null)) io.exit(ExitCode.failed);
}

async function tryCommand(io: Io, host: Host, command: string): Promise<Finding> {
  const child = spawn("/bin/sh", ["-c", command], { cwd: io.cwd, env: io.env, stdio: ["pipe", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (part: Buffer) => {
      if (output.length < MAX_OUTPUT) output += part.toString();
    });
  // A command that cannot be started reads nothing.
  child.stdin.on("error", () => {});
  child.stdin.end(JSON.stringify(host.event(NO_TOOL, "datacrawl-self-test", randomUUID())));
  const [status] = (await once(child, "close")) as [number | null];
  const decisionId = DECIDED.exec(output)?.[2] ?? null;
  const excerpt = output.trim().slice(0, 500);
  if (status !== ExitCode.deny) {
    const why = `it ends with ${status === null ? "a signal" : `status ${status}`}, and the host runs the tool`;
    return { command, status, decisionId, problem: status === ExitCode.ok ? allowed(host) : `${why}: ${excerpt}` };
  }
  const problem = decisionId === null ? `it blocks every call, because nothing is decided: ${excerpt}` : null;
  return { command, status, decisionId, problem };
}

function allowed({ name }: Host): string {
  return `a rule allows the tool ${name}.${NO_TOOL}, which does not exist: allow tools by their names`;
}
