import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { MailSpec } from "../faults/mail-agent.ts";
import { cleanEnv } from "./service.ts";

const AGENT = join(import.meta.dirname, "../faults/mail-agent.ts");

/** Lets an agent's process send its mail, to its end or to where it is killed. */
export function runMailAgent(spec: MailSpec, failpoint?: string) {
  const env = cleanEnv(failpoint === undefined ? {} : { DATACRAWL_TEST_FAILPOINT: failpoint });
  const options = { env, encoding: "utf8" } as const;
  const { signal, stdout, stderr } = spawnSync(process.execPath, [AGENT, JSON.stringify(spec)], options);
  return { signal, told: stdout === "" ? stderr : (JSON.parse(stdout) as Record<string, unknown>) };
}

/** The decision of each mail that was sent. */
export function mailsIn(mailbox: string): string[] {
  return existsSync(mailbox) ? readFileSync(mailbox, "utf8").split("\n").filter(Boolean) : [];
}
