import { UsageError } from "../../core/fault.ts";
import type { PolicyDirectory } from "../../policy/directory.ts";
import { PolicyReader, ReadFailure } from "../../policy/reader.ts";

/**
 * What a directory of policies holds. A command could not end while it waits for a file system that hangs, so it reads as the
 * service does.
 *
 * @throws UsageError if the directory cannot be read in time
 */
export async function readPolicies(dir: string, want: "rules" | "rules and tests"): Promise<PolicyDirectory> {
  const reader = new PolicyReader(dir);
  try {
    return await reader.read(want);
  } catch (error) {
    throw error instanceof ReadFailure ? new UsageError([error.message]) : error;
  } finally {
    reader.close();
  }
}
