import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../core/fault.ts";
import type { AdminOperations } from "../../admin/operations.ts";

const DEMO_AGENT = "demo";

/**
 * An agent to try the service with, made at the first start on the embedded store. Its credential is kept in a file that
 * only the service's user can read.
 *
 * @returns the file's path, or null if it no longer exists
 */
export async function ensureDemoAgent(operations: AdminOperations, dataDir: string): Promise<string | null> {
  const path = join(dataDir, "demo-agent.key");
  if (existsSync(path)) return path;
  try {
    const { key } = await operations.createAgent(DEMO_AGENT, "service");
    writeFileSync(path, `${key}\n`, { mode: 0o600 });
    return path;
  } catch (error) {
    // It was made at an earlier start, and its file has been removed: the credential cannot be shown again.
    if (error instanceof Fault && error.code === "AGENT_EXISTS") return null;
    throw error;
  }
}
