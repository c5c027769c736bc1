import { types } from "node:util";
import { type JsonObject as JsonCopy, type JsonValue, setMember } from "@datacrawl/core/json";
import type { JsonObject } from "../json.ts";
import { LIMITS, parseRequest, type Question } from "@datacrawl/core/request";
import { Fault } from "@datacrawl/core/fault";
import { derivedKey } from "./key.ts";

/** What a caller asks. Its values are not verified yet, whatever their types say. */
export interface GuardRequest {
  /** Such as `gmail.send_email`. 1 to 256 bytes, no NUL. */
  readonly tool: string;
  /** The tool's arguments: a plain object of JSON values, at most 256 KiB as JSON, nested at most 32 deep. Default: empty. */
  readonly payload?: JsonObject | undefined;
  /**
   * Identifies this action: 1 to 256 bytes, no NUL. Retries use the same key, another action another one. Default: derived from agent,
   * tool, payload and principal, so that two equal requests within 24 hours are one action.
   */
  readonly idempotencyKey?: string | undefined;
  /** The person or service on whose behalf the agent acts, as it claims: 1 to 256 bytes, no control characters. */
  readonly principal?: string | undefined;
  /** The run or conversation that the call belongs to, likewise. Another one does not make another request. */
  readonly sessionId?: string | undefined;
}

/**
 * The request as it will be asked: a copy, each value of which was read exactly once, within the limits that the service
 * holds too. What the guard decides alone is held to them as well, so that a bypass allows nothing that the service would not
 * have looked at.
 *
 * @throws Fault FIELD_INVALID naming the field. Also whatever a getter of the request throws.
 */
export function readQuestion(request: GuardRequest, agentId: string): Question {
  const { tool, payload, idempotencyKey, principal, sessionId } = request as { [F in keyof GuardRequest]: unknown };
  if (typeof tool !== "string") throw invalid("tool", "must be a string");
  if (idempotencyKey !== undefined && typeof idempotencyKey !== "string")
    throw invalid("idempotencyKey", "must be a string");
  if (principal !== undefined && typeof principal !== "string") throw invalid("principal", "must be a string");
  if (sessionId !== undefined && typeof sessionId !== "string") throw invalid("sessionId", "must be a string");
  const unkeyed = {
    tool,
    payload: copyPayload(payload ?? {}),
    idempotencyKey: idempotencyKey ?? "derived",
    agentId: "",
    nonce: NO_NONCE,
    principal: principal ?? null,
    sessionId: sessionId ?? null,
  };
  const question = parseRequest(unkeyed, agentId);
  return idempotencyKey === undefined ? { ...question, idempotencyKey: derivedKey(question) } : question;
}

const NO_NONCE = new Uint8Array(0);

/**
 * A copy of `payload` as plain JSON, each value of which was read exactly once.
 *
 * @throws Fault FIELD_INVALID, or whatever a getter throws
 */
export function copyPayload(payload: unknown): JsonCopy {
  const copy = plainCopy(payload, "payload", { left: LIMITS.payloadBytes }, LIMITS.payloadDepth);
  if (typeof copy !== "object" || copy === null || Array.isArray(copy)) throw invalid("payload", "must be an object");
  return copy;
}

/**
 * `budget` bounds the work on values that are small in memory and large as JSON (the same object many times over): each value
 * takes at least one byte.
 */
function plainCopy(value: unknown, path: string, budget: { left: number }, depth: number): JsonValue {
  budget.left -= typeof value === "string" ? value.length + 2 : 1;
  if (budget.left < 0) throw invalid("payload", `must be at most ${LIMITS.payloadBytes} bytes of JSON`);
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
      return value;
    case "object":
      return value === null ? null : plainCopyOfObject(value, path, budget, depth);
    case "bigint":
    case "function":
    case "symbol":
    case "undefined":
      throw invalid(path, `must be a JSON value, is a ${typeof value}`);
  }
}

function plainCopyOfObject(value: object, path: string, budget: { left: number }, depth: number): JsonValue {
  if (depth < 1) throw invalid(path, "is nested too deep, or contains itself");
  // A proxy may show the tool something else than it showed the guard.
  if (types.isProxy(value)) throw invalid(path, "must be a JSON value, is a Proxy");
  if (Array.isArray(value)) {
    return Array.from(value, (item, index) => plainCopy(item, `${path}[${index}]`, budget, depth - 1));
  }
  if (!isPlain(value)) throw invalid(path, `must be a JSON value, is a ${value.constructor?.name ?? "class instance"}`);
  const copy: JsonCopy = {};
  for (const [name, member] of Object.entries(value)) {
    // As JSON.stringify does: a member that is undefined is absent.
    if (member === undefined) continue;
    budget.left -= name.length;
    setMember(copy, name, plainCopy(member, `${path}.${name}`, budget, depth - 1));
  }
  return copy;
}

/** Of no class. By the shape of the prototype, for objects of other realms have another Object. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function invalid(field: string, problem: string): Fault {
  return new Fault("FIELD_INVALID", `${field.slice(0, 200)} ${problem}.`, { field });
}
