import type { JsonObject, JsonValue } from "../core/json.ts";
import { isObject } from "./message.ts";
import type { End, Run } from "./runs.ts";

/** How many tasks are followed. One that is forgotten counts as unresolved when its time is over. */
const MAX_TASKS = 1_000;
const RELATED_TASK = "io.modelcontextprotocol/related-task";

/** How runs end, by what the server says. A call that became a task ends with the task, of which later messages tell. */
export class Ends {
  /** By the server's id. The oldest first. */
  readonly #tasks = new Map<string, Run>();

  /** Takes the answer to a call. */
  answered(run: Run, answer: JsonObject): void {
    const taskId = newTaskIn(answer);
    if (taskId === null) return run.end(endOf(answer));
    this.#tasks.set(taskId, run);
    const [oldest = ""] = this.#tasks.keys();
    if (this.#tasks.size > MAX_TASKS) this.#tasks.delete(oldest);
  }

  /** Takes each message of the server's: a task's state is in answers to requests about it, and in notifications. */
  heard(message: JsonObject): void {
    if (this.#tasks.size === 0) return;
    const { params, result } = message;
    const state = isObject(result) ? result : isObject(params) ? params : {};
    this.#endTask(state["taskId"], taskEndOf(state));
    // What the task's call came to.
    const meta = isObject(result) && isObject(result["_meta"]) ? result["_meta"][RELATED_TASK] : null;
    if (isObject(meta)) this.#endTask(meta["taskId"], endOf(message));
  }

  #endTask(taskId: JsonValue | undefined, end: End | null): void {
    const run = typeof taskId === "string" ? this.#tasks.get(taskId) : undefined;
    if (run === undefined || end === null) return;
    this.#tasks.delete(taskId as string);
    run.end(end);
  }
}

/** How a call ended that the server has answered so. */
export function endOf({ result, error }: JsonObject): End {
  if (error !== undefined) {
    const code = isObject(error) ? error["code"] : null;
    const isCode = typeof code === "number" && Number.isSafeInteger(code);
    return { outcome: "failed", errorCode: isCode ? `JSON_RPC_${code}` : "JSON_RPC" };
  }
  if (!isObject(result)) return { outcome: "unknown", errorCode: "MALFORMED_ANSWER" };
  if (result["isError"] === true) return { outcome: "failed", errorCode: "TOOL_ERROR" };
  // The next round is a call of its own.
  if (result["resultType"] === "input_required") return { outcome: "succeeded", summary: "The tool asks for input." };
  return { outcome: "succeeded" };
}

/** How a task has ended; null if it has not. Since 2026-07-28 its state has what the call came to. */
function taskEndOf(state: JsonObject): End | null {
  const { status } = state;
  if (status === "failed") return { outcome: "failed", errorCode: "TASK_FAILED" };
  if (status === "cancelled") return { outcome: "unknown", errorCode: "CANCELLED" };
  if (status !== "completed") return null;
  return isObject(state["result"]) ? endOf(state) : { outcome: "succeeded" };
}

/** The id of the task that a call has become; null if it has become none. */
function newTaskIn({ result }: JsonObject): string | null {
  if (!isObject(result)) return null;
  const task = isObject(result["task"]) ? result["task"] : result["resultType"] === "task" ? result : {};
  return typeof task["taskId"] === "string" ? task["taskId"] : null;
}
