import { join } from "node:path";
import { parseCredential } from "../../core/credential.ts";
import { UsageError } from "../../core/fault.ts";
import type { Io } from "../io.ts";
import { readKey } from "./own-guard.ts";

/** The key of the demo agent, which the embedded store makes. @throws UsageError */
export async function demoKey(io: Io): Promise<string> {
  // The service's configuration is loaded for its demo alone.
  const { loadDataConfig } = await import("../../config.ts");
  const path = join(loadDataConfig(io.env, io.cwd).dataDir, "demo-agent.key");
  const key = readKey(
    path,
    `no credential: set DATACRAWL_API_KEY, or one of the others in --help (there is no ${path})`,
  );
  if (parseCredential(key) === null)
    throw new UsageError([`${path} holds no agent's key: remove it, or set DATACRAWL_API_KEY`]);
  return key;
}
