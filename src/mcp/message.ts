import { pathText, type Path } from "../core/fault.ts";
import type { JsonObject, JsonValue } from "../core/json.ts";
import { parseJsonText } from "../core/json-text.ts";
import { Undecodable } from "../core/undecodable.ts";
import { NOTIFICATIONS, REQUESTS, TOOLS_CALL } from "./methods.ts";

/** JSON-RPC's id of a request, as MCP restricts it. */
export type RequestId = string | number;

/** A call of a tool, read so that every reader finds the same tool and the same arguments in what is forwarded. */
export interface ToolCall {
  readonly kind: "call";
  readonly id: RequestId;
  readonly tool: string;
  /** Empty if the client sent none, which means the same to a server. */
  readonly payload: JsonObject;
  /** Null if the client does not want to hear of progress. */
  readonly progressToken: RequestId | null;
  readonly version: string | null;
}

/** A message that passes without a decision. */
export type Passing =
  | {
      readonly kind: "request";
      readonly id: RequestId;
      readonly method: string;
      readonly params: JsonObject;
      readonly version: string | null;
    }
  | { readonly kind: "notification"; readonly method: string; readonly params: JsonObject }
  | { readonly kind: "response" };

/** A message that is not forwarded, for what it says or how. */
export interface Refused {
  readonly kind: "refused";
  /** Null if it is not known which request the answer is to. */
  readonly id: RequestId | null;
  readonly code: number;
  readonly message: string;
  /** How it is answered: a call of a tool by a result, which goes to the model, and a notification not at all. */
  readonly answer: "result" | "error" | "none";
  readonly version: string | null;
}

export type ClientMessage = ToolCall | Passing | Refused;

/** What came in one frame: a line, or the body of a request. */
export interface Frame {
  /** More than one only in a batch. */
  readonly messages: readonly ClientMessage[];
  readonly isBatch: boolean;
  /** What to forward: as it came, or where tools are called the values that were read, written anew. */
  readonly text: string;
}

export interface ReadOptions {
  /** Methods that pass besides those that are known. */
  readonly passMethods: ReadonlySet<string>;
  /** Whether the protocol's version knows batches, which 2025-03-26 alone does. */
  readonly batches: boolean;
}

/** JSON-RPC's codes. */
export const ErrorCode = {
  parse: -32700,
  invalidRequest: -32600,
  unknownMethod: -32601,
  invalidParams: -32602,
  internal: -32603,
  headerMismatch: -32020,
} as const;

const VERSION = "io.modelcontextprotocol/protocolVersion";

/**
 * Reads what a client sent. Never throws: what cannot be read in one way alone is refused.
 *
 * INVARIANT: a `call` is forwarded as `text`, which is made of the values that are judged. Nothing else that passes can be taken for a call:
 * readers differ in names that occur twice, in letters' case and in numbers, so that text with any of these is refused.
 */
export function readFrame(text: string, options: ReadOptions): Frame {
  const parsed = parse(text, "rounded");
  if ("refused" in parsed) return alone(parsed.refused, text);
  const { value } = parsed;
  if (!Array.isArray(value)) return frameOf([interpret(value, options)], text, value);
  const problem = batchProblem(value, options);
  if (problem !== null) return alone(refusal(problem), text);
  const messages = value.map((member) => interpret(member, options));
  return { ...frameOf(messages, text, value), isBatch: true };
}

function frameOf(messages: readonly ClientMessage[], text: string, value: JsonValue): Frame {
  if (!messages.some(({ kind }) => kind === "call")) return { messages, isBatch: false, text };
  // Other messages may have numbers that a double rounds: nothing depends on them. Of a call's, each must be the one that was judged.
  const exact = parse(text, "exact");
  if ("refused" in exact) return alone(exact.refused, text);
  return { messages, isBatch: false, text: JSON.stringify(value) };
}

function alone(message: Refused, text: string): Frame {
  return { messages: [message], isBatch: false, text };
}

function batchProblem(members: readonly JsonValue[], { batches }: ReadOptions): string | null {
  if (!batches) return "batches are not part of this version of the protocol: send each message on its own";
  return members.length === 0 ? "the batch is empty" : null;
}

function parse(
  text: string,
  numbers: "rounded" | "exact",
): { readonly value: JsonValue } | { readonly refused: Refused } {
  const path: Path = [];
  try {
    return { value: parseJsonText(text, path, { numbers, wellFormed: true }) };
  } catch (error) {
    const problem = error instanceof Undecodable ? error.message : "could not be read";
    return { refused: refuseUnread(text, `${excerpt(pathText(path)) || "the message"} ${problem}`) };
  }
}

/** An error goes to the caller who waits for it, if a lax reader finds one: otherwise the caller would wait until its time is up. */
function refuseUnread(text: string, message: string): Refused {
  let lax: unknown;
  try {
    lax = JSON.parse(text);
  } catch {
    return refusal(message, { code: ErrorCode.parse });
  }
  const untrusted = isObject(lax) ? lax : {};
  return refusal(message, aboutRequest(untrusted));
}

/** Whom an answer reaches. The id of a message without a method is one of the server's. */
function aboutRequest(message: JsonObject): Pick<Refused, "id" | "answer" | "version"> {
  const { id, method } = message;
  const version = versionOf(message);
  if (typeof method !== "string" || !isRequestId(id))
    return { id: null, version, answer: typeof method === "string" && id === undefined ? "none" : "error" };
  return { id, version, answer: method === TOOLS_CALL ? "result" : "error" };
}

function interpret(value: JsonValue, { passMethods }: ReadOptions): ClientMessage {
  if (!isObject(value)) return refusal("a message must be a JSON object");
  const { id, method, params } = value;
  const refuse = (message: string, code?: number): Refused =>
    refusal(message, { ...aboutRequest(value), ...(code !== undefined && { code }) });

  const lookalike = lookalikeIn(value, MEMBERS);
  if (lookalike !== null) return refuse(lookalike);
  if (value["jsonrpc"] !== "2.0") return refuse('"jsonrpc" must be "2.0"');
  if (id !== undefined && !isRequestId(id)) return refuse('"id" must be a string or an integer');
  const answers = Number(Object.hasOwn(value, "result")) + Number(Object.hasOwn(value, "error"));
  if (!Object.hasOwn(value, "method")) {
    if (answers === 1 && id !== undefined && params === undefined) return { kind: "response" };
    return refuse('a message needs a "method", or an "id" and either "result" or "error"');
  }
  if (typeof method !== "string") return refuse('"method" must be a string');
  if (answers > 0) return refuse("a message with a method has neither result nor error");
  if (params !== undefined && !isObject(params)) return refuse('"params" must be an object', ErrorCode.invalidParams);

  if (method === TOOLS_CALL) {
    // Nobody could hear of a deny, nor of what the tool did.
    if (id === undefined) return refuse("a call of a tool needs an id");
    return readCall(id, params ?? {}, value, refuse);
  }
  const known = id === undefined ? NOTIFICATIONS : REQUESTS;
  if (!known.has(method) && !passMethods.has(method)) {
    const hint = `to let it pass without a decision, start the proxy with --pass-method ${method}`;
    return refuse(`the method ${excerpt(method)} is not known here; ${excerpt(hint)}`, ErrorCode.unknownMethod);
  }
  if (id === undefined) return { kind: "notification", method, params: params ?? {} };
  return { kind: "request", id, method, params: params ?? {}, version: versionOf(value) };
}

function readCall(
  id: RequestId,
  params: JsonObject,
  message: JsonObject,
  refuse: (message: string, code?: number) => Refused,
): ToolCall | Refused {
  const lookalike = lookalikeIn(params, CALL_PARAMS);
  if (lookalike !== null) return refuse(lookalike, ErrorCode.invalidParams);
  const { name, arguments: payload = {} } = params;
  if (typeof name !== "string" || name === "") return refuse('"params.name" must name a tool', ErrorCode.invalidParams);
  if (!isObject(payload)) return refuse('"params.arguments" must be an object', ErrorCode.invalidParams);
  const token = metaOf(message)["progressToken"];
  const progressToken = isRequestId(token) ? token : null;
  return { kind: "call", id, tool: name, payload, progressToken, version: versionOf(message) };
}

const MEMBERS = /^(?:jsonrpc|id|method|params|result|error)$/iu;
const CALL_PARAMS = /^(?:name|arguments|_meta|inputresponses|requeststate|task)$/iu;
const AS_WRITTEN = new Set([
  ..."jsonrpc id method params result error".split(" "),
  ..."name arguments _meta inputResponses requestState task".split(" "),
]);

/** Some readers, such as Go's encoding/json, take `Method` for `method`, and also `paramſ` for `params`. */
function lookalikeIn(object: JsonObject, names: RegExp): string | null {
  const found = Object.keys(object).find((name) => names.test(name) && !AS_WRITTEN.has(name));
  return found === undefined ? null : `the member ${JSON.stringify(found)} differs from a known one only in case`;
}

function refusal(message: string, about: Partial<Refused> = {}): Refused {
  const code = ErrorCode.invalidRequest;
  return { kind: "refused", id: null, code, answer: "error", version: null, ...about, message };
}

function metaOf({ params }: JsonObject): JsonObject {
  const meta = isObject(params) ? params["_meta"] : undefined;
  return isObject(meta) ? meta : {};
}

/** The version of the protocol that a message names for itself, which those since 2026-07-28 do. */
function versionOf(message: JsonObject): string | null {
  const version = metaOf(message)[VERSION];
  return typeof version === "string" ? version : null;
}

export function isRequestId(value: unknown): value is RequestId {
  return typeof value === "string" || Number.isSafeInteger(value);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function excerpt(text: string): string {
  return text.length <= 120 ? text : `${text.slice(0, 120)}…`;
}

/** The messages in text of a server, for keeping account of them. What is no message passes all the same. */
export function looselyRead(text: string): readonly JsonObject[] {
  try {
    const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ""));
    return [value].flat().filter((one): one is JsonObject => isObject(one));
  } catch {
    return [];
  }
}
