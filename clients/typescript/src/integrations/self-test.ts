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

/** What adapters have put in the place of tools' own functions. */
const guarded = new WeakSet<object>();

/** Marks a tool's function as one that asks before it runs. */
export function markGuarded<Run extends object>(run: Run): Run {
  guarded.add(run);
  return run;
}

/** Whether an adapter has made the function. */
export function isGuarded(run: unknown): boolean {
  return typeof run === "function" && guarded.has(run);
}

/** @throws Error naming the tools whose `execute` no adapter has made */
export function checkAllGuarded(tools: Readonly<Record<string, object>>, unguarded: readonly string[] = []): void {
  const bare = Object.entries(tools).filter(([name, tool]) => {
    const { execute } = tool as { readonly execute?: unknown };
    return execute === undefined ? !unguarded.includes(name) : !isGuarded(execute);
  });
  if (bare.length > 0) throw new Error(`self-test: not guarded: ${bare.map(([name]) => name).join(", ")}`);
}

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
