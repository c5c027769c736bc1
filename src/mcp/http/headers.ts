import type { JsonObject, JsonValue } from "../../core/json.ts";
import { type ClientMessage, isObject } from "../message.ts";
import { TOOLS_CALL } from "../methods.ts";

/** Header names in lower case, each with all values that came. */
export type Headers = Readonly<Record<string, readonly string[] | undefined>>;

/** Since this version a request's headers say what its body says. */
const MIRRORED_SINCE = "2026-07-28";
const NAMED = new Set([TOOLS_CALL, "prompts/get", "resources/read"]);
const PARAM = "mcp-param-";

/**
 * Where headers contradict the message, or lack what its version of the protocol requires, as a sentence; null if nowhere. Decisions are
 * about the body alone, and a server that believed such headers would run something else.
 *
 * @param message null for a batch
 */
export function headerProblem(headers: Headers, message: ClientMessage | null): string | null {
  for (const name of SINGLE) if ((headers[name] ?? []).length > 1) return `The header ${name} occurs twice.`;
  const [version = null, said = null, name = null] = SINGLE.map((header) => headers[header]?.[0]);
  const body = message !== null && "version" in message ? message.version : null;
  if (body !== null && body !== version) return differ("MCP-Protocol-Version", version, body);

  const isRequest = message?.kind === "call" || message?.kind === "request";
  const isMirrored = isRequest && (version ?? "") >= MIRRORED_SINCE;
  const method = methodOf(message);
  if (said === null && isMirrored) return "The header Mcp-Method is missing.";
  if (said === null && name !== null) return "The header Mcp-Name needs Mcp-Method.";
  if (said !== null && said !== method) return differ("Mcp-Method", said, method);

  if (name === null && isMirrored && NAMED.has(method ?? "")) return "The header Mcp-Name is missing.";
  if (name !== null && decoded(name) !== nameOf(message)) return differ("Mcp-Name", name, nameOf(message));
  return message?.kind === "call" ? paramProblem(headers, message.payload) : null;
}

const SINGLE = ["mcp-protocol-version", "mcp-method", "mcp-name"];

function methodOf(message: ClientMessage | null): string | null {
  if (message?.kind === "call") return TOOLS_CALL;
  return message !== null && "method" in message ? message.method : null;
}

/** Null where the method names nothing. */
function nameOf(message: ClientMessage | null): JsonValue {
  if (message?.kind === "call") return message.tool;
  if (message?.kind !== "request") return null;
  const { name, uri, taskId } = message.params;
  return name ?? uri ?? taskId ?? null;
}

/** Which argument a header mirrors is known to the server alone. That no argument has its value shows that it mirrors none. */
function paramProblem(headers: Headers, payload: JsonObject): string | null {
  const mirrors = Object.entries(headers).filter(([name]) => name.startsWith(PARAM));
  if (mirrors.length === 0) return null;
  const values = new Set(primitivesOf(payload));
  for (const [name, given] of mirrors) {
    const value = given?.length === 1 ? decoded(given[0] ?? "") : undefined;
    if (value === undefined || !(values.has(value) || values.has(String(Number(value)))))
      return `The header ${name} has a value that no argument has.`;
  }
  return null;
}

function primitivesOf(value: JsonValue): string[] {
  if (isObject(value)) return Object.values(value).flatMap(primitivesOf);
  return value === null || typeof value === "object" ? [] : [String(value)];
}

const BASE64 = /^=\?base64\?((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)\?=$/;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Undefined, which no body's value is, if it is neither plain nor well encoded. */
function decoded(value: string): string | undefined {
  if (!(value.startsWith("=?base64?") && value.endsWith("?=")))
    return /^[\x20-\x7e\t]*$/.test(value) ? value : undefined;
  const [, base64] = BASE64.exec(value) ?? [];
  if (base64 === undefined) return undefined;
  try {
    return UTF8.decode(Buffer.from(base64, "base64"));
  } catch {
    return undefined;
  }
}

function differ(header: string, said: unknown, body: unknown): string {
  const shown = (value: unknown): string => (value === null ? "nothing" : JSON.stringify(value).slice(0, 100));
  return `The header ${header} says ${shown(said)}, the body ${shown(body)}.`;
}
