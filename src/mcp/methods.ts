/**
 * The methods that a client may send. Whatever is not listed is refused: a server may have a method of its own that runs a tool, and no
 * such call may pass unseen. `--pass-method` adds to them.
 */

/** Of the protocol's versions from 2025-03-26 to 2026-07-28 and its extension for tasks. */
export const REQUESTS: ReadonlySet<string> = new Set([
  "completion/complete",
  "initialize",
  "logging/setLevel",
  "ping",
  "prompts/get",
  "prompts/list",
  "resources/list",
  "resources/read",
  "resources/subscribe",
  "resources/templates/list",
  "resources/unsubscribe",
  "server/discover",
  "subscriptions/listen",
  "tasks/cancel",
  "tasks/get",
  "tasks/list",
  "tasks/result",
  "tasks/update",
  "tools/list",
]);

export const NOTIFICATIONS: ReadonlySet<string> = new Set([
  "notifications/cancelled",
  "notifications/elicitation/complete",
  "notifications/initialized",
  "notifications/progress",
  "notifications/roots/list_changed",
  "notifications/tasks/status",
]);

export const TOOLS_CALL = "tools/call";
export const TOOLS_LIST = "tools/list";
