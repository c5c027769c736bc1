import { DeniedError } from "../denied-error.ts";
import { ToolNotRunError } from "./judged-call.ts";

/** What an adapter's self-test asks about. */
export interface SelfTestProbe {
  /** A tool that your policy denies. Default: `datacrawl_self_test`, which no rule should name. */
  readonly toolName?: string | undefined;
  /** Its arguments. Default: none. */
  readonly args?: object | undefined;
}

/** The name of a probe that is not named. */
export const SELF_TEST_TOOL = "datacrawl_self_test";

/**
 * Calls a tool that is known to be denied, the way that the framework would.
 *
 * @param call calls it; `ran` is what the tool would do. It rejects with the adapter's error
 * @throws Error if the tool ran, or if anything but a deny of the service kept it from running
 */
export async function proveDenied(toolName: string, call: (ran: () => void) => Promise<unknown>): Promise<void> {
  let hasRun = false;
  let stopped: unknown = null;
  try {
    await call(() => {
      hasRun = true;
    });
  } catch (error) {
    stopped = error;
  }
  if (hasRun)
    throw selfTestError(toolName, "ran: the policy allows it, or calls of tools do not pass the guard", stopped);
  const cause = stopped instanceof ToolNotRunError ? stopped.cause : stopped;
  if (cause instanceof DeniedError && cause.verdict.source === "service" && cause.verdict.decision === "deny") return;
  const why = cause instanceof Error ? cause.message : "nothing denied it";
  throw selfTestError(toolName, `was not denied by the service: ${why}`, stopped);
}

function selfTestError(toolName: string, what: string, cause: unknown): Error {
  return new Error(`self-test: the tool ${toolName} ${what}`, { cause });
}
